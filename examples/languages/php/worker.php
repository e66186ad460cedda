<?php
// A worker that reverses texts.
//
//     GEARMAN_SERVERS=host:port php worker.php [JOBS]
//
// It ends after JOBS jobs, or never when the number is left out.

$jobs = isset($argv[1]) ? (int) $argv[1] : PHP_INT_MAX;

$worker = new GearmanWorker();
if (!getenv('GEARMAN_SERVERS')) { // libgearman reads it by itself
    $worker->addServers('127.0.0.1:4730');
}

// What the function returns is the job's result.
$worker->addFunction('reverse', fn (GearmanJob $job) => strrev($job->workload()));

while ($jobs-- > 0 && $worker->work()); // work() waits for one job and does it

if ($worker->returnCode() !== GEARMAN_SUCCESS) {
    fwrite(STDERR, "worker: {$worker->error()}\n");
    exit(1);
}
