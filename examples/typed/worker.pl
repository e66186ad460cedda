#!/usr/bin/perl
# A worker that Python calls like a function of its own: arguments are a JSON array, the result is JSON.
use strict;
use warnings;

use Gearman::Worker;
use JSON::PP;

my $json   = JSON::PP->new->utf8->allow_nonref;
my $worker = Gearman::Worker->new(job_servers => [split /,/, $ENV{GEARMAN_SERVERS} // '127.0.0.1:4730']);

$worker->register_function(
    slug => sub {
        my ($title) = @{$json->decode($_[0]->arg)};
        (my $slug = lc $title) =~ s/[^a-z0-9]+/-/g;
        return $json->encode($slug);
    }
);
$worker->work;
