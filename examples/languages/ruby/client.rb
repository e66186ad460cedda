# A client that has a text reversed.
#
#     GEARMAN_SERVERS=host:port ruby client.rb TEXT
require_relative "gearman"

server = Gearman.new
server.send(Gearman::SUBMIT_JOB, "reverse", "", ARGV.fetch(0, "Hello")) # function, no unique, workload

loop do
  type, _handle, result = server.receive(2)
  case type
  when Gearman::WORK_COMPLETE
    puts result
    break
  when Gearman::WORK_FAIL
    abort "client: the job failed"
  end # JOB_CREATED tells the handle, which is of no use to a client that waits
end
