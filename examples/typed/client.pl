#!/usr/bin/perl
# A client that calls a typed Python function: the workload is a JSON array of the arguments in
# their order, or an object of them by name. The result is JSON too.
use strict;
use warnings;

use Gearman::Client;
use JSON::PP;

my $json   = JSON::PP->new->utf8->allow_nonref;
my $client = Gearman::Client->new(job_servers => [split /,/, $ENV{GEARMAN_SERVERS} // '127.0.0.1:4730']);

my $items = [{name => 'tea', price => 2.5, count => 2}, {name => 'cup', price => 4}];

for my $arguments ([$items, 0.1], {items => $items}) {
    my $result = $client->do_task(total => $json->encode($arguments)) or die "client: the job failed\n";
    print $json->decode($$result), "\n";
}
