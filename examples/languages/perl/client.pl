#!/usr/bin/perl
# A client that has a text reversed.
#
#     GEARMAN_SERVERS=host:port perl client.pl TEXT
use strict;
use warnings;

use Gearman::Client;

my $text   = shift // 'Hello';
my $client = Gearman::Client->new(job_servers => [split /,/, $ENV{GEARMAN_SERVERS} // '127.0.0.1:4730']);

my $result = $client->do_task(reverse => $text)    # a reference to the result
    or die "client: the job failed\n";
print "$$result\n";
