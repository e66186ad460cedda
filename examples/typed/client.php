<?php
// A client that calls a typed Python function: the workload is a JSON array of the arguments in
// their order, or an object of them by name. The result is JSON too.

$client = new GearmanClient();
if (!getenv('GEARMAN_SERVERS')) { // libgearman reads it by itself
    $client->addServers('127.0.0.1:4730');
}

$items = [['name' => 'tea', 'price' => 2.5, 'count' => 2], ['name' => 'cup', 'price' => 4]];

echo json_decode($client->doNormal('total', json_encode([$items, 0.1]))), "\n";
echo json_decode($client->doNormal('total', json_encode(['items' => $items]))), "\n";
