<?php
// The worker of the interoperability tests, with PHP's gearman extension: php_worker.php HOST PORT PREFIX
// What each function does is written in __init__.py beside this file.

[, $host, $port, $prefix] = $argv;

// Note the name in PATH.log, then wait until PATH.open is there.
function pass_gate(GearmanJob $job): void
{
    [$path, $name] = explode(' ', $job->workload());
    file_put_contents("$path.log", "$name\n", FILE_APPEND);
    for ($tries = 0; !file_exists("$path.open") && $tries < 4000; $tries++) {
        usleep(5000);
        clearstatcache();
    }
}

$functions = [
    'reverse' => fn (GearmanJob $job) => strrev($job->workload()),
    'fail' => function (GearmanJob $job) {
        $job->sendFail();
    },
    'raise' => function (GearmanJob $job) {
        $job->sendException($job->workload());
    },
    'chunks' => function (GearmanJob $job) {
        foreach (explode("\n", rtrim($job->workload(), "\n")) as $line) {
            $job->sendData("$line\n");
        }
        return 'done';
    },
    'warn' => function (GearmanJob $job) {
        $job->sendWarning($job->workload());
        return 'done';
    },
    'gate' => function (GearmanJob $job) {
        pass_gate($job);
        return 'done';
    },
    'progress' => function (GearmanJob $job) {
        $job->sendStatus(1, 2);
        pass_gate($job);
        $job->sendStatus(2, 2);
        return 'done';
    },
    'die' => function (GearmanJob $job) {
        if (@fopen($job->workload(), 'x') !== false) {
            posix_kill(getmypid(), SIGKILL);
        }
        return 'survived';
    },
];

$worker = new GearmanWorker();
$worker->addServer($host, (int) $port);
foreach ($functions as $name => $function) {
    $worker->addFunction($prefix . $name, $function);
}
do {
    $worker->work();
} while (in_array($worker->returnCode(), [GEARMAN_SUCCESS, GEARMAN_WORK_FAIL], true));
fwrite(STDERR, "{$worker->error()}\n");
exit(1);
