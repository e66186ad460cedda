# The client of the interoperability tests, with Gearman::Client: perl_client.pl HOST PORT JOB...
# How a JOB is written and what is printed is told in __init__.py beside this file.
use strict;
use warnings;

use Gearman::Client;
use Gearman::Task;
use Time::HiRes 'sleep';

$| = 1;
my ($host, $port) = splice @ARGV, 0, 2;
my $client = Gearman::Client->new(job_servers => ["$host:$port"], exceptions => 1);
my $tasks  = $client->new_task_set;
my $number = 0;

while (my ($mode, $function, $unique, $file) = splice @ARGV, 0, 4) {
    my $n = $number++;
    my $workload = do { local (@ARGV, $/) = $file; <> };
    my $task = Gearman::Task->new(
        $function,
        \$workload,
        {
            uniq         => $unique,
            background   => scalar $mode =~ /background|poll/,
            priority     => $mode =~ /(high|low)/ ? $1 : 'normal',
            on_data      => sub { print "$n data ", unpack('H*', ${ $_[0] }), "\n" },
            on_warning   => sub { print "$n warning ", unpack('H*', ${ $_[0] }), "\n" },
            on_status    => sub { print "$n status @_\n" },
            on_exception => sub { print "$n exception ", unpack('H*', $_[0]), "\n" },
            on_fail      => sub { print "$n fail\n" },
            on_complete  => sub { print "$n complete ", unpack('H*', ${ $_[0] }), "\n" },
        }
    );
    my $handle = $tasks->add_task($task);    # host:port//handle
    print "$n created ", $handle =~ m{//(.*)}, "\n";
    poll($n, $handle) if $mode eq 'poll';
}
$tasks->wait;

# Tell a background job's status, whenever it changes, until the server does not know it any more.
sub poll {
    my ($n, $handle) = @_;
    my $last  = '';
    my $known = 1;
    while ($known) {
        my $status = $client->get_status($handle);
        my ($numerator, $denominator) = @{ $status->progress // [0, 0] };
        $known = $status->known;
        my $line = join ' ', $known || 0, $status->running || 0, $numerator || 0, $denominator || 0;
        print "$n polled $line\n" if $line ne $last;
        $last = $line;
        sleep 0.005;
    }
}
