<?php
// Lists and runs the tests of phpredis: `php php_site.php --list`, `php php_site.php PORT NAME`.

declare(strict_types=1);
assert_options(ASSERT_EXCEPTION, true);

function equal(mixed $got, mixed $expected): void
{
    if ($got !== $expected) {
        throw new Exception('expected ' . var_export($expected, true) . ', got ' . var_export($got, true));
    }
}

function connected(int $port): Redis
{
    $redis = new Redis();
    $redis->pconnect('127.0.0.1', $port, 5.0);
    return $redis;
}

/** One request of a browser: what the site does with the session. */
function request(int $port, string $id, callable $work): void
{
    session_save_path("tcp://127.0.0.1:$port?prefix=session:");
    session_id($id);
    session_start(['use_cookies' => false, 'use_only_cookies' => false, 'cache_limiter' => '']);
    $work();
    session_write_close();
    $_SESSION = [];
}

$tests = [
    'sessions are kept, locked and destroyed' => function (int $port): void {
        ini_set('session.save_handler', 'redis');
        ini_set('session.gc_maxlifetime', '600');
        ini_set('redis.session.locking_enabled', '1');
        $redis = connected($port);
        request($port, 'anna', function () use ($redis): void {
            $_SESSION['cart'] = ['bread' => 2, 'milk' => 1];
            equal($redis->exists('session:anna_LOCK'), 1);
        });
        equal($redis->exists('session:anna_LOCK'), 0);
        equal($redis->ttl('session:anna') > 590, true);
        request($port, 'anna', function (): void {
            equal($_SESSION['cart'], ['bread' => 2, 'milk' => 1]);
            session_destroy();
        });
        equal($redis->exists('session:anna'), 0);
    },

    'values come back as they were, serialized and compressed or not' => function (int $port): void {
        foreach ([Redis::SERIALIZER_NONE, Redis::SERIALIZER_PHP, Redis::SERIALIZER_JSON] as $serializer) {
            $redis = connected($port);
            $redis->setOption(Redis::OPT_SERIALIZER, $serializer);
            $redis->setOption(Redis::OPT_PREFIX, 'site:');
            $plain = $serializer === Redis::SERIALIZER_NONE;
            $value = $plain ? "a\r\n\0\xff" : ['list' => [1, 2.5, null], 'text' => 'Käse'];
            equal($redis->set('page', $value, ['nx', 'ex' => 100]), true);
            equal($redis->set('page', $value, ['nx']), false);
            equal($redis->get('page'), $value);
            equal($redis->hMSet('user', ['name' => $value, 'id' => $plain ? '7' : 7]), true);
            equal($redis->hGetAll('user'), ['name' => $value, 'id' => $plain ? '7' : 7]);
            equal($redis->get('missing'), false);
            equal($redis->del('page', 'user'), 2);
        }
    },

    'pipelines, transactions and scripts answer in order' => function (int $port): void {
        $redis = connected($port);
        $replies = $redis->pipeline()->set('hits', '1')->incrBy('hits', 41)->get('hits')->lPush('hits', 'x')->exec();
        equal($replies, [true, 42, '42', false]);
        equal(str_starts_with($redis->getLastError(), 'WRONGTYPE '), true);
        $redis->clearLastError();
        $redis->watch('hits');
        connected($port)->rawCommand('INCR', 'other');
        equal($redis->multi()->decr('hits')->zAdd('scores', 1.5, 'anna', 2.5, 'bob')->exec(), [41, 2]);
        equal($redis->zRange('scores', 0, -1, true), ['anna' => 1.5, 'bob' => 2.5]);
        $script = 'return {KEYS[1], ARGV[1], redis.call("GET", KEYS[1])}';
        equal($redis->eval($script, ['hits', 'x'], 1), ['hits', 'x', '41']);
        equal($redis->evalSha(sha1($script), ['hits', 'y'], 1), ['hits', 'y', '41']);
    },

    'a scan meets every key once' => function (int $port): void {
        $redis = connected($port);
        $redis->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
        $redis->mSet(array_combine(array_map(fn (int $n): string => "key:$n", range(1, 3000)), range(1, 3000)));
        $cursor = null;
        $met = [];
        while ($keys = $redis->scan($cursor, 'key:*', 100)) {
            array_push($met, ...$keys);
        }
        equal(count($met), 3000);
        equal(count(array_unique($met)), 3000);
    },

    'streams are read by groups' => function (int $port): void {
        $redis = connected($port);
        equal($redis->xGroup('CREATE', 'orders', 'kitchen', '0', true), true);
        $id = $redis->xAdd('orders', '*', ['dish' => 'soup']);
        equal($redis->xReadGroup('kitchen', 'cook', ['orders' => '>'], 10), ['orders' => [$id => ['dish' => 'soup']]]);
        equal($redis->xPending('orders', 'kitchen'), [1, $id, $id, [['cook', '1']]]);
        equal($redis->xClaim('orders', 'kitchen', 'chef', 0, [$id], ['JUSTID']), [$id]);
        equal($redis->xAck('orders', 'kitchen', [$id]), 1);
    },
];

[, $port, $name] = [...$argv, null, null];
if ($port === '--list') {
    echo implode("\n", array_keys($tests)), "\n";
} else {
    $tests[$name]((int) $port);
}
