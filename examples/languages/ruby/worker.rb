# A worker that reverses texts.
#
#     GEARMAN_SERVERS=host:port ruby worker.rb [JOBS]
#
# It ends after JOBS jobs, or never when the number is left out.
require_relative "gearman"

jobs = ARGV.empty? ? Float::INFINITY : Integer(ARGV[0])

server = Gearman.new
server.send(Gearman::CAN_DO, "reverse")
server.send(Gearman::GRAB_JOB)

while jobs.positive?
  type, handle, _function, workload = server.receive(3)
  case type
  when Gearman::JOB_ASSIGN
    server.send(Gearman::WORK_COMPLETE, handle, workload.reverse)
    jobs -= 1
    server.send(Gearman::GRAB_JOB) if jobs.positive?
  when Gearman::NO_JOB # nothing to do: sleep until the server sends NOOP
    server.send(Gearman::PRE_SLEEP)
  when Gearman::NOOP # there is a job, for whoever grabs it first
    server.send(Gearman::GRAB_JOB)
  end
end
