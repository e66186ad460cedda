# The part of the Gearman protocol that a client and a worker need, on a plain socket.
#
# Every packet is a magic ("\0REQ" to the server, "\0RES" from it), a type, the size of its
# arguments, and the arguments with a NUL between each two. Only the last one may hold a NUL itself.
require "socket"

class Gearman
  CAN_DO, PRE_SLEEP, NOOP, SUBMIT_JOB, JOB_CREATED, GRAB_JOB, NO_JOB, JOB_ASSIGN = 1, 4, 6, 7, 8, 9, 10, 11
  WORK_COMPLETE, WORK_FAIL, ERROR = 13, 14, 19

  def initialize(server = ENV.fetch("GEARMAN_SERVERS", "127.0.0.1:4730"))
    host, _, port = server.rpartition(":")
    @socket = TCPSocket.new(host, Integer(port))
    @socket.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
  end

  # Each argument is taken as bytes, whatever its encoding.
  def send(type, *arguments)
    body = arguments.map(&:b).join("\0".b)
    @socket.write("\0REQ".b + [type, body.bytesize].pack("NN") + body)
  end

  # The next packet: its type and its arguments, `count` of them at most.
  def receive(count)
    magic, type, size = read(12).unpack("a4NN")
    raise "not a Gearman server" unless magic == "\0RES"

    arguments = read(size).split("\0".b, count)
    raise "the server says: #{arguments.join(' ')}" if type == ERROR

    [type, *arguments]
  end

  private

  def read(size)
    bytes = @socket.read(size)
    raise EOFError, "the server closed the connection" if bytes.nil? || bytes.bytesize < size

    bytes
  end
end
