# The worker of the interoperability tests, with Gearman::Worker: perl_worker.pl HOST PORT PREFIX
# What each function does is written in __init__.py beside this file.
use strict;
use warnings;

use Fcntl;
use Gearman::Worker;
use Time::HiRes 'sleep';

my ($host, $port, $prefix) = @ARGV;
my $worker = Gearman::Worker->new(job_servers => ["$host:$port"]);

# Note the name in PATH.log, then wait until PATH.open is there.
sub pass_gate {
    my ($path, $name) = split ' ', shift->arg;
    open my $log, '>>', "$path.log" or die $!;
    print $log "$name\n";
    close $log;
    for (1 .. 4000) {
        last if -e "$path.open";
        sleep 0.005;
    }
}

my %functions = (
    reverse => sub { scalar reverse $_[0]->arg },
    fail    => sub { undef },

    # A `die` would do for other servers than gearmand and its likes: the library sends a WORK_FAIL after the
    # exception, is told that there is no such job, and gives up.
    raise => sub {
        my $job = shift;
        $worker->send_work_exception($job, $job->arg);
        return;
    },
    chunks => sub {
        my $job = shift;
        $worker->send_work_data($job, $_) for $job->arg =~ /.*\n/g;
        return 'done';
    },
    warn => sub {
        my $job = shift;
        $worker->send_work_warning($job, $job->arg);
        return 'done';
    },
    gate => sub {
        pass_gate($_[0]);
        return 'done';
    },
    progress => sub {
        my $job = shift;
        $job->set_status(1, 2);
        pass_gate($job);
        $job->set_status(2, 2);
        return 'done';
    },
    die => sub {
        kill KILL => $$ if sysopen my $file, $_[0]->arg, O_CREAT | O_EXCL;
        return 'survived';
    },
);

$worker->register_function($prefix . $_ => $functions{$_}) for keys %functions;
$worker->work;
