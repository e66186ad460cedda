<?php
// A client that has a text reversed.
//
//     GEARMAN_SERVERS=host:port php client.php TEXT

$client = new GearmanClient();
if (!getenv('GEARMAN_SERVERS')) { // libgearman reads it by itself
    $client->addServers('127.0.0.1:4730');
}

$result = $client->doNormal('reverse', $argv[1] ?? 'Hello');

if ($client->returnCode() !== GEARMAN_SUCCESS) {
    fwrite(STDERR, "client: {$client->error()}\n");
    exit(1);
}
echo $result, "\n";
