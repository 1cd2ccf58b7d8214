'use strict';

// Runs design functions and selectors in separate processes, as CouchDB does. When a function loops for ever or takes
// all memory, its process is killed and the server goes on. A call may take as long as CouchDB's
// [couchdb] os_process_timeout.

const { fork } = require('node:child_process');
const path = require('node:path');
const { CouchError, log } = require('./http');

const TIME_LIMIT_MS = 5_000;
const MAX_PROCESSES = 4;
const MAX_OUTPUT_LENGTH = 64 * 1024 * 1024; // of one task, because the server holds it in memory
// A task that waits this long for a busy process gets another one, up to MAX_PROCESSES.
const PATIENCE_MS = 100;
const IDLE_LIFE_MS = 10_000;
const MAX_LOGGED = 500; // characters of a program

const processes = new Set();
const waiting = [];

class FunctionProcess {
  constructor() {
    this.task = undefined;
    this.child = fork(path.join(__dirname, 'function_process.js'), {
      env: {}, execArgv: [], serialization: 'advanced', stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.child.on('message', (message) => this.receive(message));
    this.child.on('error', (error) => this.end(`The function's process failed: ${error.message}`));
    this.child.on('exit', (code, signal) => this.end(`The function's process ended (${signal ?? code}).`));
    processes.add(this);
  }

  run(task) {
    clearTimeout(this.timer);
    this.task = task;
    this.outcomes = [];
    this.outputLength = 0;
    this.timer = setTimeout(() => this.checkProgress(this.outcomes.length), TIME_LIMIT_MS);
    this.child.send({ program: task.program, calls: task.calls });
  }

  // Answers may be waiting in the event loop, if the server itself was slow: let them in first.
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
      this.outputLength += outcome.length;
      if (this.outputLength > MAX_OUTPUT_LENGTH) {
        this.end('The function gives too much at once.');
        return;
      }
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
    if (!processes.delete(this)) {
      return;
    }
    clearTimeout(this.timer);
    this.child.kill('SIGKILL');
    if (this.task !== undefined) {
      log(`${reason} ${this.task.program.slice(0, MAX_LOGGED)}`);
      this.task.reject(new CouchError(500, 'os_process_error', reason));
      this.task = undefined;
    }
    dispatch();
  }
}

function dispatch() {
  for (const each of processes) {
    if (each.task === undefined && waiting.length > 0) {
      each.run(waiting.shift());
    }
  }
  if (waiting.length > 0 && processes.size === 0) {
    new FunctionProcess().run(waiting.shift());
  }
}

function addProcessFor(task) {
  if (waiting.includes(task) && processes.size < MAX_PROCESSES) {
    new FunctionProcess();
    dispatch();
  }
}

// Calls a program once for each list of arguments; resolves to the outcomes in the same order. A program is
// {kind, source, ddoc}: which outcome to return ('map', 'filter' or 'value'), the function's source, and the design
// document, which is `this` and the root of require(); or {kind: 'selector', selector}. An outcome is {rows}, {isTrue}
// or {value}, or {thrown} with what the function threw.
async function call(program, argumentLists) {
  const texts = await new Promise((resolve, reject) => {
    const task = {
      program: JSON.stringify(program), calls: argumentLists.map((list) => JSON.stringify(list)), resolve, reject,
    };
    waiting.push(task);
    dispatch();
    if (waiting.includes(task)) {
      setTimeout(addProcessFor, PATIENCE_MS, task).unref();
    }
  });
  return texts.map(parseOutcome);
}

// CouchDB replaces a lone surrogate, which no Unicode text may have, by U+FFFD.
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

// Resolves to the reason why a source is not a function, or to undefined when it is one.
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

// Logs, once for each function, that a view function threw: the query itself goes on without the document or value.
function reportOnce({ error, value }, source) {
  if (!reported.has(source)) {
    reported.add(source);
    log(`A function threw ${JSON.stringify(error ?? value)} (reported once): ${source}`);
  }
}

// Returns the error to answer with when a function threw.
function thrownError({ error, value }) {
  return error ? new CouchError(500, error.name, error.message) : new CouchError(500, 'unknown_error', value);
}

module.exports = { call, compileError, reportOnce, thrownError };
