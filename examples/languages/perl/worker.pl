#!/usr/bin/perl
# A worker that reverses texts.
#
#     GEARMAN_SERVERS=host:port perl worker.pl [JOBS]
#
# It ends after JOBS jobs, or never when the number is left out.
use strict;
use warnings;

use Gearman::Worker;

my $jobs   = shift;
my $done   = 0;
my $worker = Gearman::Worker->new(job_servers => [split /,/, $ENV{GEARMAN_SERVERS} // '127.0.0.1:4730']);

# What the function returns is the job's result; undef makes the job fail.
$worker->register_function(
    reverse => sub {
        my $job = shift;
        $done++;
        return scalar reverse $job->arg;
    }
);

$worker->work(stop_if => sub { defined $jobs && $done >= $jobs });
