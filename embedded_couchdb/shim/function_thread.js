'use strict';

// The thread of function_process.js that runs functions. Each function has a V8 context of its own, which exchanges
// JSON texts with this thread, so that no function gets hold of an object from outside.

const vm = require('node:vm');
const { parentPort } = require('node:worker_threads');

const MAX_PROGRAMS = 200;
const programs = new Map();

// Runs inside of a function's context, with the globals of CouchDB's share/server: emit, sum, isArray, toJSON, log and
// require.
function sandbox(kind, source, ddocJson) {
  const { parse, stringify } = JSON;
  const { freeze, values } = Object;
  const evaluate = globalThis.eval;
  const ddoc = parse(ddocJson);
  let rows = [];

  globalThis.emit = (key, value) => { rows[rows.length] = [key, value]; };
  globalThis.sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  globalThis.isArray = Array.isArray;
  globalThis.toJSON = stringify;
  globalThis.log = () => {};

  const modules = Object.create(null);
  function load(name, folder) {
    const names = name[0] === '.' ? [...folder] : [];
    for (const part of name.split('/')) {
      if (part === '..') {
        names.pop();
      } else if (part !== '.') {
        names.push(part);
      }
    }
    const id = names.join('/');
    if (modules[id] === undefined) {
      const text = names.reduce((node, part) => node?.[part], ddoc);
      if (typeof text !== 'string') {
        throw new Error(`require: the design document has no module ${id}`);
      }
      const module = { exports: {}, id };
      modules[id] = module;
      const run = evaluate(`(function (module, exports, require) {${text}\n})`);
      run(module, module.exports, (other) => load(other, names.slice(0, -1)));
    }
    return modules[id].exports;
  }
  globalThis.require = (name) => load(String(name), []);

  function compile() {
    const trimmed = source.replace(/[;\s]+$/, '');
    let compiled;
    try {
      compiled = evaluate(`(${trimmed}\n)`);
    } catch {
      compiled = evaluate(trimmed); // statements, of which the last one is the function
    }
    // CouchDB's engine takes neither async functions nor generators.
    const type = Object.prototype.toString.call(compiled);
    if (type !== '[object Function]' || /^class\b/.test(trimmed)) {
      throw new Error(`Expression does not eval to a function. (${source})`);
    }
    return compiled;
  }

  function freezeAll(value) {
    if (typeof value === 'object' && value !== null) {
      values(freeze(value)).forEach(freezeAll);
    }
  }

  function describe(thrown) {
    const isError = thrown === null || thrown === undefined || (thrown.name && thrown.stack);
    return isError
      ? { error: { name: String(thrown?.name ?? 'TypeError'), message: String(thrown?.message ?? thrown) } }
      : { value: thrown };
  }

  let target;
  try {
    target = compile();
  } catch (error) {
    return { compileError: `${error?.message ?? error}` };
  }

  return { run: (argumentsJson) => {
    rows = [];
    try {
      const args = parse(argumentsJson);
      if (kind === 'map') {
        freezeAll(args[0]);
      }
      const value = target.apply(ddoc, args);
      return stringify({ map: { rows }, filter: { isTrue: !!value }, value: { value } }[kind]);
    } catch (thrown) {
      try {
        return stringify({ thrown: describe(thrown) });
      } catch {
        return '{"thrown":{"error":{"name":"Error","message":"a value that is no JSON"}}}';
      }
    }
  } };
}

function selectorProgram(selector) {
  const { matchesSelector } = require('pouchdb-selector-core'); // loaded here because few processes need it
  return { run: (argumentsJson) => {
    try {
      return JSON.stringify({ isTrue: matchesSelector(JSON.parse(argumentsJson)[0], selector) });
    } catch (error) {
      return JSON.stringify({ thrown: { error: { name: 'bad_request', message: error.message } } });
    }
  } };
}

function compile({ kind, source, ddoc = {}, selector }) {
  if (kind === 'selector') {
    return selectorProgram(selector);
  }
  const context = vm.createContext({});
  return vm.runInContext(`(${sandbox})`, context)(kind, source, JSON.stringify(ddoc));
}

function load(program) {
  if (!programs.has(program)) {
    if (programs.size >= MAX_PROGRAMS) {
      programs.clear();
    }
    programs.set(program, compile(JSON.parse(program)));
  }
  return programs.get(program);
}

// A rejected promise that a function leaves behind must not end the thread.
process.on('unhandledRejection', () => {});

parentPort.on('message', ({ program, calls }) => {
  const { compileError, run } = load(program);
  if (compileError !== undefined) {
    parentPort.postMessage({ outcome: JSON.stringify({ compileError }) });
  } else {
    calls.forEach((text) => parentPort.postMessage({ outcome: run(text) }));
  }
  // Promises that a function leaves behind run before the next immediate, so they count as part of the call.
  setImmediate(() => parentPort.postMessage({ isDone: true }));
});
