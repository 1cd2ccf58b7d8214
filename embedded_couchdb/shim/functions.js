'use strict';

// Runs the functions of design documents, and selectors, in worker threads. A function may loop for ever or take
// all memory it gets: then its worker ends, and the server goes on. The time limit is CouchDB's
// [couchdb] os_process_timeout: so long may one call take.

const path = require('node:path');
const { Worker } = require('node:worker_threads');
const { CouchError, log } = require('./http');

const TIME_LIMIT_MS = 5_000;
const HEAP_LIMIT_MB = 256;
const STACK_LIMIT_MB = 4;
const MAX_WORKERS = 4;
// A task that waits this long for a busy worker gets another one, up to MAX_WORKERS.
const PATIENCE_MS = 100;
const IDLE_LIFE_MS = 10_000;

const workers = new Set();
const waiting = [];

class FunctionWorker {
  constructor() {
    this.task = undefined;
    this.thread = new Worker(path.join(__dirname, 'function_worker.js'), {
      env: {}, resourceLimits: { maxOldGenerationSizeMb: HEAP_LIMIT_MB, stackSizeMb: STACK_LIMIT_MB },
    });
    this.thread.unref();
    this.thread.on('message', (message) => this.receive(message));
    this.thread.on('error', (error) => this.end(`The function's process ended: ${error.message}`));
    this.thread.on('exit', () => this.end('The function\'s process ended.'));
    workers.add(this);
  }

  run(task) {
    clearTimeout(this.timer);
    this.task = task;
    this.outcomes = [];
    this.timer = setTimeout(() => this.checkProgress(this.outcomes.length), TIME_LIMIT_MS);
    this.thread.postMessage({ program: task.program, calls: task.calls });
  }

  // Lets answers that are here already come in before it decides: the server itself may have been slow.
  checkProgress(countBefore) {
    const { task } = this;
    setImmediate(() => {
      if (this.task === task && this.outcomes.length === countBefore) {
        this.end('OS process timed out.');
      }
    });
  }

  receive({ outcome, isDone }) {
    if (!isDone) {
      this.outcomes.push(outcome);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.checkProgress(this.outcomes.length), TIME_LIMIT_MS);
      return;
    }
    const { task, outcomes } = this;
    this.task = undefined;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.end('idle'), IDLE_LIFE_MS);
    this.timer.unref();
    task.resolve(outcomes);
    dispatch();
  }

  end(reason) {
    if (!workers.delete(this)) {
      return;
    }
    clearTimeout(this.timer);
    this.thread.terminate();
    this.task?.reject(new CouchError(500, 'os_process_error', reason));
    this.task = undefined;
    dispatch();
  }
}

function dispatch() {
  for (const worker of workers) {
    if (worker.task === undefined && waiting.length > 0) {
      worker.run(waiting.shift());
    }
  }
  if (waiting.length > 0 && workers.size === 0) {
    new FunctionWorker().run(waiting.shift());
  }
}

function addWorkerFor(task) {
  if (waiting.includes(task) && workers.size < MAX_WORKERS) {
    new FunctionWorker();
    dispatch();
  }
}

// Calls a program once for each list of arguments; gives the outcomes in the same order. A program is
// {kind, source, ddoc}: what to keep of a call ('map', 'filter' or 'value'), the function's source, and the design
// document that is its `this` and the root of its require(); or {kind: 'selector', selector}.
// An outcome is {rows}, {isTrue} or {value}, or {thrown} with what the function threw.
async function call(program, argumentLists) {
  const texts = await new Promise((resolve, reject) => {
    const task = {
      program: JSON.stringify(program), calls: argumentLists.map((list) => JSON.stringify(list)), resolve, reject,
    };
    waiting.push(task);
    dispatch();
    if (waiting.includes(task)) {
      setTimeout(addWorkerFor, PATIENCE_MS, task).unref();
    }
  });
  return texts.map(parseOutcome);
}

// A lone surrogate is no Unicode text: CouchDB makes U+FFFD of it.
function withoutSurrogates(text) {
  return text.replace(/\\(u[dD][89a-fA-F][0-9a-fA-F]{2}|.)/g, (escape, code) => (code.length > 1 ? '\ufffd' : escape));
}

function parseOutcome(text) {
  const outcome = JSON.parse(/\\u[dD]/.test(text) ? withoutSurrogates(text) : text);
  if (outcome.compileError !== undefined) {
    throw new CouchError(500, 'compilation_error', outcome.compileError);
  }
  return outcome;
}

// Why a source is no function; undefined when it is one.
async function compileError(source) {
  try {
    await call({ kind: 'value', source }, []);
    return undefined;
  } catch (error) {
    if (error.name !== 'compilation_error' && error.name !== 'os_process_error') {
      throw error;
    }
    return error.message;
  }
}

const reported = new Set();

// A view function that throws leaves its document out, or reduces to null. The log says so once for each function.
function reportOnce({ error, value }, source) {
  if (!reported.has(source)) {
    reported.add(source);
    log(`A function threw ${JSON.stringify(error ?? value)} (reported once): ${source}`);
  }
}

// What a function threw, as the error of an answer.
function thrownError({ error, value }) {
  return error ? new CouchError(500, error.name, error.message) : new CouchError(500, 'unknown_error', value);
}

module.exports = { call, compileError, reportOnce, thrownError };
