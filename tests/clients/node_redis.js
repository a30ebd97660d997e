// node-redis, in RESP2 and RESP3.
'use strict';

const assert = require('node:assert/strict');
const { createClient, WatchError } = require('redis');
const session = require('./session.js');

async function using(port, options, work) {
  const client = createClient({ socket: { port, host: '127.0.0.1' }, ...options });
  client.on('error', error => { throw error; });
  await client.connect();
  try {
    return await work(client);
  } finally {
    client.destroy();
  }
}

async function keepsStrings(client) {
  assert.equal(await client.set('page', 'html', { EX: 300 }), 'OK');
  assert.equal(await client.get('page'), 'html');
  assert.equal(await client.set('page', 'x', { NX: true }), null);
  assert.equal(await client.getDel('page'), 'html');
  assert.equal(await client.incrBy('n', 41), 41);
  assert.deepEqual(await client.mGet(['n', 'gone']), ['41', null]);
  await assert.rejects(client.sendCommand(['NOSUCH', 'x']), /ERR unknown command 'NOSUCH', with args beginning with: 'x'/);
}

async function keepsCollections(client) {
  await client.hSet('user', { name: 'anna', age: 30 });
  assert.deepEqual({ ...await client.hGetAll('user') }, { name: 'anna', age: '30' });
  await client.rPush('queue', ['a', 'b']);
  assert.deepEqual(await client.lRange('queue', 0, -1), ['a', 'b']);
  await client.sAdd('tags', ['x', 'y']);
  assert.deepEqual([...await client.sMembers('tags')].sort(), ['x', 'y']);
  await client.zAdd('board', [{ score: 1.5, value: 'anna' }, { score: Infinity, value: 'bert' }]);
  assert.deepEqual(await client.zRangeWithScores('board', 0, -1), [{ value: 'anna', score: 1.5 }, { value: 'bert', score: Infinity }]);
  const id = await client.xAdd('events', '*', { type: 'click' });
  assert.equal((await client.xRange('events', '-', '+'))[0].id, id);
}

async function runsTransactions(client) {
  assert.deepEqual(await client.multi().set('a', 1).incr('a').get('a').exec(), ['OK', 2, '2']);
}

session({
  'keeps strings in RESP2': port => using(port, { RESP: 2 }, keepsStrings),
  'keeps strings in RESP3': port => using(port, { RESP: 3 }, keepsStrings),
  'keeps collections in RESP2': port => using(port, { RESP: 2 }, keepsCollections),
  'keeps collections in RESP3': port => using(port, { RESP: 3 }, keepsCollections),
  'runs transactions in RESP2': port => using(port, { RESP: 2 }, runsTransactions),
  'runs transactions in RESP3': port => using(port, { RESP: 3 }, runsTransactions),

  'notices a change of a watched key': port => using(port, {}, client => using(port, {}, async other => {
    await client.watch('a');
    await other.set('a', 2);
    await assert.rejects(client.multi().set('a', 1).exec(), WatchError);
  })),

  'hears what is published': port => using(port, {}, listener => using(port, {}, async client => {
    const heard = [];
    let done;
    const complete = new Promise(resolve => { done = resolve; });
    const hear = text => { heard.push(text); if (heard.length === 2) done(); };
    await listener.subscribe('news', hear);
    await listener.pSubscribe('chat:*', hear);
    await client.publish('news', 'one');
    await client.publish('chat:1', 'two');
    await complete;
    assert.deepEqual(heard, ['one', 'two']);
  })),

  'walks the keys': port => using(port, {}, async client => {
    await client.mSet(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`item:${i}`, String(i)])));
    const found = new Set();
    for await (const keys of client.scanIterator({ MATCH: 'item:*', COUNT: 50 })) [keys].flat().forEach(key => found.add(key));
    assert.equal(found.size, 500);
  }),

  'names itself and selects a database': port => using(port, { name: 'web', database: 5 }, async client => {
    assert.equal(await client.clientGetName(), 'web');
    await client.set('a', '1');
    assert.match(await client.info('keyspace'), /db5:keys=1/);
  }),
});
