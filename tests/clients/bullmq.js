// BullMQ as job queues use it: every step of a job is a script.
'use strict';

const assert = require('node:assert/strict');
const { Queue, Worker, QueueEvents, FlowProducer } = require('bullmq');
const session = require('./session.js');

async function using(port, handler, work) {
  const connection = { port, host: '127.0.0.1', maxRetriesPerRequest: null };
  const queue = new Queue('jobs', { connection });
  const events = new QueueEvents('jobs', { connection });
  await events.waitUntilReady();
  const worker = new Worker('jobs', handler, { connection, concurrency: 5 });
  try {
    return await work(queue, events, connection);
  } finally {
    await worker.close();
    await events.close();
    await queue.close();
  }
}

session({
  'runs jobs and keeps what they return': port => using(port, async job => job.data.n * 2, async (queue, events) => {
    const jobs = await queue.addBulk([...Array(50).keys()].map(n => ({ name: 'double', data: { n } })));
    const results = await Promise.all(jobs.map(job => job.waitUntilFinished(events, 30_000)));
    assert.deepEqual(results, [...Array(50).keys()].map(n => n * 2));
    const counts = await queue.getJobCounts();
    assert.equal(counts.completed, 50);
    assert.equal(counts.waiting + counts.active + counts.failed, 0);
  }),

  'tries a job again, late jobs and those with a priority': port => {
    let tries = 0;
    const handler = async job => {
      if (job.name === 'shaky' && ++tries < 3) throw new Error('not yet');
      return job.name;
    };
    return using(port, handler, async (queue, events) => {
      const shaky = await queue.add('shaky', {}, { attempts: 3, backoff: { type: 'fixed', delay: 10 } });
      const late = await queue.add('late', {}, { delay: 200 });
      const first = await queue.add('first', {}, { priority: 1 });
      assert.deepEqual(
        await Promise.all([shaky, late, first].map(job => job.waitUntilFinished(events, 30_000))),
        ['shaky', 'late', 'first']);
      assert.equal(tries, 3);
    });
  },

  'lets a parent wait for its children': port => using(port, async job => {
    if (job.name !== 'parent') return job.data.n;
    return Object.values(await job.getChildrenValues()).reduce((sum, n) => sum + n, 0);
  }, async (queue, events, connection) => {
    const flow = new FlowProducer({ connection });
    const child = n => ({ name: 'child', queueName: 'jobs', data: { n } });
    const tree = await flow.add({ name: 'parent', queueName: 'jobs', children: [child(1), child(2), child(39)] });
    assert.equal(await tree.job.waitUntilFinished(events, 30_000), 42);
    await flow.close();
  }),
});
