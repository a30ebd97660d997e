// Lists and runs the tests of one client: `node ioredis.js --list`, `node ioredis.js PORT NAME`.
'use strict';

// Tests by name; each gets the port of a server with an empty keyspace.
module.exports = function session(tests) {
  const [port, name] = process.argv.slice(2);
  if (port === '--list') {
    console.log(Object.keys(tests).join('\n'));
    return;
  }
  const late = setTimeout(() => fail(new Error('no end after 60 s')), 60_000);
  tests[name](Number(port)).then(() => clearTimeout(late), fail).then(() => process.exit(process.exitCode));
};

function fail(error) {
  console.error(error);
  process.exit(1);
}
