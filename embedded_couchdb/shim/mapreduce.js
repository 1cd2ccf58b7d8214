'use strict';

// Map and reduce functions, compiled once. PouchDB's own evaluation makes a new V8 context for every document
// it indexes, about a millisecond each, which every read of a view after a write would pay.

const vm = require('node:vm');
const createAbstractMapReduce = require('pouchdb-abstract-mapreduce');

const MAX_COMPILED = 1000;
const compiled = new Map();

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

function mapper(source, emit) {
  const call = evaluate(source);
  return (doc) => call(doc).rows.forEach(([key, value]) => emit(key, value));
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
  return (keys, values, rereduce) => call(keys, values, rereduce).result;
}

function checkView(ddoc, name) {
  if (typeof ddoc.views[name].map !== 'string') {
    throw new Error(`${ddoc._id} has no map function in view ${name}`);
  }
}

const { query, viewCleanup } = createAbstractMapReduce('mrviews', mapper, reducer, checkView);

module.exports = { query, viewCleanup };
