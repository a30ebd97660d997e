// ioredis as web applications use it.
'use strict';

const assert = require('node:assert/strict');
const Redis = require('ioredis').default || require('ioredis');
const session = require('./session.js');

async function using(port, options, work) {
  const redis = new Redis({ port, host: '127.0.0.1', ...options });
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

session({
  'keeps strings': port => using(port, {}, async redis => {
    assert.equal(await redis.set('page', 'html', 'EX', 300), 'OK');
    assert.equal(await redis.get('page'), 'html');
    assert.equal(await redis.set('page', 'x', 'NX'), null);
    assert.ok(await redis.ttl('page') > 290);
    assert.equal(await redis.incrby('n', 41), 41);
    assert.deepEqual(await redis.mget('page', 'gone'), ['html', null]);
    const binary = Buffer.from([0, 1, 255, 13, 10]);
    await redis.set('binary', binary);
    assert.deepEqual(await redis.getBuffer('binary'), binary);
    await assert.rejects(redis.incr('page'), /ERR value is not an integer or out of range/);
  }),

  'keeps hashes, lists, sets and sorted sets': port => using(port, {}, async redis => {
    await redis.hset('user', { name: 'anna', age: 30 });
    assert.deepEqual(await redis.hgetall('user'), { name: 'anna', age: '30' });
    await redis.rpush('queue', 'a', 'b', 'c');
    assert.deepEqual(await redis.lrange('queue', 0, -1), ['a', 'b', 'c']);
    await redis.sadd('tags', 'x', 'y');
    assert.deepEqual((await redis.smembers('tags')).sort(), ['x', 'y']);
    await redis.zadd('board', 1.5, 'anna', 3, 'bert');
    assert.deepEqual(await redis.zrange('board', 0, -1, 'WITHSCORES'), ['anna', '1.5', 'bert', '3']);
  }),

  'pipelines ten thousand commands': port => using(port, {}, async redis => {
    const pipeline = redis.pipeline();
    for (let i = 0; i < 5000; i++) pipeline.set(`k${i}`, i).get(`k${i}`);
    const replies = await pipeline.exec();
    assert.equal(replies.length, 10000);
    replies.forEach(([error, reply], i) => assert.deepEqual([error, reply], [null, i % 2 ? String((i - 1) / 2) : 'OK']));
  }),

  'pipelines by itself': port => using(port, { enableAutoPipelining: true }, async redis => {
    await Promise.all(Array.from({ length: 1000 }, (_, i) => redis.set(`k${i}`, i)));
    const values = await Promise.all(Array.from({ length: 1000 }, (_, i) => redis.get(`k${i}`)));
    assert.deepEqual(values, Array.from({ length: 1000 }, (_, i) => String(i)));
  }),

  'runs transactions': port => using(port, {}, async redis => {
    assert.deepEqual(await redis.multi().set('a', 1).incr('a').exec(), [[null, 'OK'], [null, 2]]);
    await redis.watch('a');
    await using(port, {}, other => other.set('a', 9));
    assert.equal(await redis.multi().set('a', 1).exec(), null);
    assert.equal(await redis.get('a'), '9');
  }),

  'hears what is published': port => using(port, {}, listener => using(port, {}, async redis => {
    const heard = new Promise(resolve => {
      const messages = [];
      listener.on('message', (channel, text) => { messages.push(`${channel} ${text}`); if (messages.length === 3) resolve(messages); });
    });
    assert.equal(await listener.subscribe('news', 'chat'), 2);
    for (const text of ['one', 'two', 'three']) assert.equal(await redis.publish('news', text), 1);
    assert.deepEqual(await heard, ['news one', 'news two', 'news three']);
    assert.equal(await listener.unsubscribe(), 0);
  })),

  'walks the keys with a stream': port => using(port, {}, async redis => {
    await redis.mset(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`item:${i}`, i])));
    const found = new Set();
    for await (const keys of redis.scanStream({ match: 'item:*', count: 50 })) keys.forEach(key => found.add(key));
    assert.equal(found.size, 500);
  }),

  // In RESP3 this client drops invalidations, so they are heard on a connection that subscribes in RESP2. They come as
  // text: the keys with commas between them, nothing for all keys.
  'keeps a cache on its side of the wire': port => using(port, { protocol: 2 }, listener => using(port, {}, reader => using(port, {}, async writer => {
    const cache = new Map();
    const forgotten = [];
    listener.on('message', (channel, keys) => {
      assert.equal(channel, '__redis__:invalidate');
      const gone = keys ? keys.split(',') : [...cache.keys()];
      gone.forEach(key => cache.delete(key));
      forgotten.push(...gone);
    });
    const until = async count => { while (forgotten.length < count) await writer.ping(); };
    const read = async key => {
      if (!cache.has(key)) cache.set(key, await reader.get(key));
      return cache.get(key);
    };
    const id = await listener.client('ID');
    await listener.subscribe('__redis__:invalidate');
    assert.equal(await reader.client('TRACKING', 'ON', 'REDIRECT', id), 'OK');
    assert.equal(await reader.client('GETREDIR'), id);
    await writer.mset('a', 1, 'b', 2, 'short', 3);

    assert.equal(await read('a'), '1');
    assert.equal(await read('b'), '2');
    await writer.set('unread', 1);
    await writer.set('a', 10);
    await until(1);
    assert.deepEqual(forgotten, ['a'], 'only what was read');
    assert.equal(await read('a'), '10');
    assert.equal(cache.get('b'), '2');

    // A transaction, a script, a deadline, and everything at once.
    await writer.multi().incr('a').incr('b').exec();
    await until(3);
    assert.deepEqual(forgotten.slice(1).sort(), ['a', 'b']);
    await read('b');
    await writer.eval("return redis.call('DEL', KEYS[1])", 1, 'b');
    await until(4);
    await read('short');
    await writer.pexpire('short', 1);
    await until(5);
    assert.equal(forgotten[4], 'short');
    await read('a');
    await writer.flushall();
    await until(6);
    assert.equal(cache.size, 0);
    assert.equal(await read('a'), null);
  }))),

  'keeps a cache of what it asks for, or of all keys of a kind': port => using(port, { protocol: 2 }, listener => using(port, {}, reader => using(port, {}, async writer => {
    const forgotten = [];
    listener.on('message', (_, keys) => forgotten.push(...keys.split(',')));
    const until = async count => { while (forgotten.length < count) await writer.ping(); };
    const id = await listener.client('ID');
    await listener.subscribe('__redis__:invalidate');

    await reader.client('TRACKING', 'ON', 'REDIRECT', id, 'OPTIN');
    await reader.get('plain');
    await reader.client('CACHING', 'YES');
    await reader.get('cached');
    await writer.mset('plain', 1, 'cached', 1);
    await until(1);
    assert.deepEqual(forgotten, ['cached']);
    await reader.client('TRACKING', 'OFF');

    await reader.client('TRACKING', 'ON', 'REDIRECT', id, 'BCAST', 'PREFIX', 'user:', 'NOLOOP');
    await reader.set('user:1', 'mine');
    await writer.mset('page:1', 1, 'user:2', 1);
    await until(2);
    assert.deepEqual(forgotten, ['cached', 'user:2']);
    assert.match(await reader.client('INFO'), new RegExp(`flags=\\S*B\\S* .*redir=${id}`));
  }))),

  'waits for a job': port => using(port, {}, worker => using(port, {}, async redis => {
    const job = worker.blpop('jobs', 'later', 20);
    while (!/blocked_clients:1/.test(await redis.info('clients')));
    await redis.rpush('jobs', 'first');
    assert.deepEqual(await job, ['jobs', 'first']);
  })),

  'defines a command of its own': port => using(port, {}, async redis => {
    redis.defineCommand('grow', { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
    assert.equal(await redis.grow('size', 5), 5);
    assert.equal(await redis.grow('size', 6), 11);
  }),

  'selects a database and names itself': port => using(port, { db: 4, connectionName: 'web' }, async redis => {
    await redis.set('a', 1);
    assert.match(await redis.info('keyspace'), /db4:keys=1/);
    assert.match(await redis.client('LIST'), /name=web .*db=4/);
  }),
});
