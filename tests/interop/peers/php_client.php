<?php
// The client of the interoperability tests, with PHP's gearman extension: php_client.php HOST PORT JOB...
// How a JOB is written and what is printed is told in __init__.py beside this file.

[, $host, $port] = $argv;

$client = new GearmanClient();
$client->addServer($host, (int) $port);

// A task's context is the number of its job.
$told = fn (string $event) => function (GearmanTask $task, int $number) use ($event) {
    echo "$number $event ", bin2hex($task->data() ?: ''), "\n";
};
$client->setCreatedCallback(function (GearmanTask $task, int $number) {
    echo "$number created {$task->jobHandle()}\n";
});
$client->setStatusCallback(function (GearmanTask $task, int $number) {
    echo "$number status {$task->taskNumerator()} {$task->taskDenominator()}\n";
});
$client->setDataCallback($told('data'));
$client->setWarningCallback($told('warning'));
$client->setExceptionCallback($told('exception'));
$client->setCompleteCallback($told('complete'));
$client->setFailCallback(function (GearmanTask $task, int $number) {
    echo "$number fail\n";
});

$add = [
    'foreground' => 'addTask',
    'high' => 'addTaskHigh',
    'low' => 'addTaskLow',
    'background' => 'addTaskBackground',
    'high-background' => 'addTaskHighBackground',
    'low-background' => 'addTaskLowBackground',
];
foreach (array_chunk(array_slice($argv, 3), 4) as $number => [$mode, $function, $unique, $file]) {
    $workload = file_get_contents($file);
    if ($mode === 'poll') {
        poll($client, $number, $client->doBackground($function, $workload));
    } else {
        $client->{$add[$mode]}($function, $workload, $number, $unique === '' ? null : $unique);
    }
}
exit($client->runTasks() ? 0 : 1);

// Tell a background job's status, whenever it changes, until the server does not know it any more.
function poll(GearmanClient $client, int $number, string $handle): void
{
    echo "$number created $handle\n";
    $last = '';
    do {
        $status = $client->jobStatus($handle);
        $line = implode(' ', array_map('intval', $status));
        if ($line !== $last) {
            echo "$number polled $line\n";
            $last = $line;
        }
        usleep(5000);
    } while ($status[0]);
}
