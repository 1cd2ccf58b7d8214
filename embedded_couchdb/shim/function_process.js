'use strict';

// A process for design functions, started by functions.js. Its second thread runs them. The first one stays free to
// notice that the server has ended, even while a function never returns. A function that takes all memory ends this
// process, not the server.

const path = require('node:path');
const { Worker } = require('node:worker_threads');

const HEAP_LIMIT_MB = 256;
const STACK_LIMIT_MB = 4;

const thread = new Worker(path.join(__dirname, 'function_thread.js'), {
  env: {}, resourceLimits: { maxOldGenerationSizeMb: HEAP_LIMIT_MB, stackSizeMb: STACK_LIMIT_MB },
});

process.on('message', (message) => thread.postMessage(message));
process.on('disconnect', () => process.exit());
process.on('SIGINT', () => {}); // Ctrl-C in a terminal reaches this process too; the server decides when it ends
thread.on('message', (message) => process.send(message));
thread.on('error', () => process.exit(1));
thread.on('exit', () => process.exit(1));
