'use strict';

// Map and reduce functions, compiled once. PouchDB's own evaluation makes a new V8 context for every document
// it indexes, about a millisecond each, which every read of a view after a write would pay.

const vm = require('node:vm');
const createAbstractMapReduce = require('pouchdb-abstract-mapreduce');
const { CouchError } = require('./http');

const MAX_COMPILED = 1000;
const compiled = new Map();
const told = new Set();

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

const BUILT_IN_REDUCES = {
  _sum: (keys, values) => sum(values),
  _count: (keys, values) => values.length,
  _stats: (keys, values) => ({
    sum: sum(values),
    count: values.length,
    min: Math.min(...values),
    max: Math.max(...values),
    sumsqr: sum(values.map((value) => value * value)),
  }),
};

function compile(source) {
  const context = vm.createContext({});
  // Documents go in and rows come out as JSON, so that a function can't hold on to what isn't its own.
  return vm.runInContext(`(() => {
    let rows = [];
    const emit = (key, value) => { rows.push([key, value]); };
    const sum = (values) => values.reduce((total, value) => total + value, 0);
    const log = () => {};
    const isArray = Array.isArray;
    const toJSON = JSON.stringify;
    const call = (${source.replace(/;\s*$/, '')}\n);
    return (argumentsJson) => {
      rows = [];
      const result = call(...JSON.parse(argumentsJson));
      return JSON.stringify({ result, rows });
    };
  })()`, context);
}

function evaluate(source) {
  if (!compiled.has(source)) {
    if (compiled.size >= MAX_COMPILED) {
      compiled.clear();
    }
    compiled.set(source, compile(source));
  }
  const call = compiled.get(source);
  return (...args) => JSON.parse(call(JSON.stringify(args)));
}

// A function that throws leaves its document out, or reduces to null. That is told once, and without the
// document, which PouchDB would print each time.
function attempt(source, run) {
  try {
    return run();
  } catch (error) {
    if (!told.has(source)) {
      told.add(source);
      process.stderr.write(`A view function threw ${error.name}: ${error.message} (told once): ${source}\n`);
    }
    return undefined;
  }
}

function mapper(source, emit) {
  const call = evaluate(source);
  return (doc) => {
    const { rows } = attempt(source, () => call(doc)) ?? { rows: [] };
    rows.forEach(([key, value]) => emit(key, value));
  };
}

function reducer(source) {
  const name = source.trim();
  if (name.startsWith('_')) {
    const builtIn = BUILT_IN_REDUCES[name];
    if (!builtIn) {
      throw new Error(`${name} is not a supported reduce function.`);
    }
    return builtIn;
  }
  const call = evaluate(source);
  return (keys, values, rereduce) => attempt(source, () => call(keys, values, rereduce).result) ?? null;
}

function checkView(ddoc, name) {
  if (typeof ddoc.views[name].map !== 'string') {
    throw new Error(`${ddoc._id} has no map function in view ${name}`);
  }
}

const abstract = createAbstractMapReduce('mrviews', mapper, reducer, checkView);

// PouchDB brings an index up to date once for every query, one query after the other. Here a query that finds
// nothing new goes ahead, and those that wait for the same update share it.
const refreshes = new WeakMap();

function refreshesOf(db, view) {
  const ofDatabase = refreshes.get(db) ?? new Map();
  refreshes.set(db, ofDatabase);
  const state = ofDatabase.get(view) ?? { running: Promise.resolve(), waiting: undefined };
  ofDatabase.set(view, state);
  return state;
}

// Only an update that begins after the query has seen all writes that came before the query.
function refresh(db, view) {
  const state = refreshesOf(db, view);
  state.waiting ??= state.running.then(() => {
    state.waiting = undefined;
    const update = abstract.query.call(db, view, { limit: 0, reduce: false });
    state.running = update.catch(() => {});
    return update;
  });
  return state.waiting;
}

async function isFresh(db, view) {
  const [ddocName, viewName] = view.split('/');
  const { views } = await db.get(`_design/${ddocName}`);
  const index = await db._cachedViews?.[`${views?.[viewName]?.map}${views?.[viewName]?.reduce}undefined`];
  return index !== undefined && index.seq === (await db.info()).update_seq;
}

// A row's document is the one that emitted it, or the one that its value names by _id.
async function addDocuments(db, rows, options) {
  const idOf = (row) => row.value?._id ?? row.id;
  const ids = [...new Set(rows.map(idOf))];
  const docs = new Map(await Promise.all(ids.map(async (id) => [id, await db.get(id, options).catch(() => null)])));
  return rows.map((row) => ({ ...row, doc: docs.get(idOf(row)) }));
}

async function query(view, { include_docs: includeDocs = false, ...options } = {}) {
  if (options.stale === undefined && !await isFresh(this, view)) {
    await refresh(this, view);
  }
  const result = await abstract.query.call(this, view, { stale: 'ok', ...options });
  if (!includeDocs) {
    return result;
  }
  if (result.total_rows === undefined) {
    throw new CouchError(400, 'query_parse_error', '`include_docs` is invalid for reduce');
  }
  const { conflicts = false, attachments = false } = options;
  return { ...result, rows: await addDocuments(this, result.rows, { conflicts, attachments }) };
}

module.exports = { query, viewCleanup: abstract.viewCleanup };
