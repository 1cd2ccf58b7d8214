'use strict';

// Reduces rows as CouchDB does: first the rows of a group in parts, then the results of the parts (rereduce). A
// function that ignores rereduce gives wrong results here, too. The built-in functions follow
// couch_query_servers.erl, because PouchDB's have no objects in _sum and no arrays in _stats.
// https://docs.couchdb.org/en/stable/ddocs/ddocs.html#reduce-and-rereduce-functions

const { collate } = require('pouchdb-collate');
const { call, reportOnce } = require('./functions');
const { CouchError } = require('./http');

const MAX_PART = 100;
const OVERFLOW_LENGTH = 4096; // of a function's result as JSON
const SUM_OVERFLOW_LENGTH = 4906; // the same of _sum, in couch_query_servers.erl
const BUILT_IN = /^_(sum|count|stats|approx_count_distinct|first|last|top_[1-9]\d*|bottom_[1-9]\d*)/;
const SUM_OF_WHAT = 'The _sum function requires that map values be numbers, arrays of numbers, or objects. Objects '
  + 'cannot be mixed with other data structures. Objects can be arbitrarily nested, provided that the values for all '
  + 'fields are themselves numbers, arrays of numbers, or objects.';

class SumError extends Error {
  constructor(result) {
    super(result.reason);
    this.result = result;
  }
}

function isNumber(value) {
  return typeof value === 'number';
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function addArrays(left, right) {
  return Array.from({ length: Math.max(left.length, right.length) }, (_, index) => (
    add(index < left.length ? left[index] : 0, index < right.length ? right[index] : 0, isNumber)
  ));
}

function addObjects(left, right) {
  const total = { ...left };
  for (const [name, value] of Object.entries(right)) {
    total[name] = Object.hasOwn(total, name) ? add(total[name], value) : value;
  }
  return total;
}

function isSummable(value) {
  return isNumber(value) || Array.isArray(value) || isObject(value);
}

function add(total, value, isAllowed = isSummable) {
  if (value?.error === 'builtin_reduce_error') {
    throw new SumError(value);
  }
  if (isAllowed(value) && isAllowed(total)) {
    if (isNumber(total) && isNumber(value)) {
      return total + value;
    }
    if (isObject(value) ? total === 0 : isObject(total)) {
      return isObject(value) ? addObjects({}, checkMembers(value)) : throwSumError(value);
    }
    if (isObject(value)) {
      return isObject(total) ? addObjects(total, value) : throwSumError(value);
    }
    return addArrays([total].flat(), [value].flat());
  }
  return throwSumError(value);
}

function checkMembers(object) {
  Object.values(object).forEach((member) => add(0, member));
  return object;
}

function throwSumError(value) {
  throw new SumError({ error: 'builtin_reduce_error', reason: SUM_OF_WHAT, caused_by: value });
}

function sum(values) {
  try {
    const total = values.reduce((sofar, value) => add(sofar, value), 0);
    return isNumber(total) ? total : checkSumOverflow(values, total);
  } catch (error) {
    if (error instanceof SumError) {
      return error.result;
    }
    throw error;
  }
}

function overflow(inputLength, outputLength, threshold) {
  return outputLength > threshold && outputLength * 2 > inputLength
    ? `Reduce output must shrink more rapidly: input size: ${inputLength} output size: ${outputLength}`
    : undefined;
}

function checkSumOverflow(values, total) {
  const reason = overflow(JSON.stringify(values).length, JSON.stringify(total).length, SUM_OVERFLOW_LENGTH);
  return reason === undefined ? total : { error: 'builtin_reduce_error', reason };
}

function statsError(value) {
  return new CouchError(500, 'invalid_value', `non-numeric _stats input: ${JSON.stringify(value)}`);
}

// Returns the statistics of one value: a number, ready-made statistics, or an array of either.
function statsOf(value) {
  if (Array.isArray(value)) {
    return value.map(statsOf);
  }
  if (isNumber(value)) {
    return { sum: value, count: 1, min: value, max: value, sumsqr: value * value };
  }
  const { sum: total, count, min, max, sumsqr } = isObject(value) ? value : {};
  if (![total, count, min, max, sumsqr].every(isNumber)) {
    throw statsError(value);
  }
  return { sum: total, count, min, max, sumsqr };
}

function mergeStats(left, right) {
  if (Array.isArray(left) !== Array.isArray(right) || left.length !== right.length) {
    throw statsError(right);
  }
  if (Array.isArray(left)) {
    return left.map((each, index) => mergeStats(each, right[index]));
  }
  return {
    sum: left.sum + right.sum,
    count: left.count + right.count,
    min: Math.min(left.min, right.min),
    max: Math.max(left.max, right.max),
    sumsqr: left.sumsqr + right.sumsqr,
  };
}

function countDistinct(rows) {
  return rows.filter(({ key }, index) => index === 0 || collate(rows[index - 1].key, key) !== 0).length;
}

// Applies a built-in function to the rows of a group, which are in the order of the query.
function reduceBuiltIn(name, rows, isDescending) {
  const values = rows.map(({ value }) => value);
  const count = Number(/\d+/.exec(name)?.[0]);
  switch (BUILT_IN.exec(name)[1].replace(/_\d+$/, '')) {
    case 'sum': return sum(values);
    case 'count': return values.length;
    case 'stats': return values.map(statsOf).reduce(mergeStats);
    case 'approx_count_distinct': return countDistinct(rows);
    case 'first': return values.at(isDescending ? -1 : 0);
    case 'last': return values.at(isDescending ? 0 : -1);
    case 'top': return values.sort((left, right) => collate(right, left)).slice(0, count);
    default: return values.sort(collate).slice(0, count);
  }
}

function inParts(items) {
  const size = Math.min(MAX_PART, Math.max(1, Math.ceil(items.length / 2)));
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) => (
    items.slice(index * size, (index + 1) * size)
  ));
}

class OverflowError extends Error {}

function resultOf({ value = null, thrown }, source, protocolLine) {
  if (thrown !== undefined) {
    reportOnce(thrown, source);
    return null;
  }
  const inputLength = JSON.stringify(protocolLine).length - source.length;
  const reason = overflow(inputLength, JSON.stringify([value]).length, OVERFLOW_LENGTH);
  if (reason !== undefined) {
    throw new OverflowError(reason);
  }
  return value;
}

async function rereduce(program, values) {
  if (values.length === 1) {
    return values[0];
  }
  const parts = values.length <= MAX_PART ? [values] : inParts(values);
  const outcomes = await call(program, parts.map((part) => [null, part, true]));
  return rereduce(program, outcomes.map((outcome, index) => (
    resultOf(outcome, program.source, ['rereduce', [program.source], parts[index]])
  )));
}

async function reduceByFunction(source, rows) {
  const program = { kind: 'value', source };
  const parts = inParts(rows.map(({ key, id, value }) => [[key, id], value]));
  const outcomes = await call(program, parts.map((part) => (
    [part.map(([key]) => key), part.map(([, value]) => value), false]
  )));
  return rereduce(program, outcomes.map((outcome, index) => (
    resultOf(outcome, source, ['reduce', [source], parts[index]])
  )));
}

// Resolves to a group's row: {key, value}, or {key, error, reason} when the function's result is too large.
async function reduceGroup(source, { key, rows }, isDescending) {
  if (isBuiltIn(source)) {
    return { key, value: reduceBuiltIn(source, rows, isDescending) };
  }
  try {
    return { key, value: await reduceByFunction(source, rows) };
  } catch (error) {
    if (error instanceof OverflowError) {
      return { key: null, error: 'reduce_overflow_error', reason: error.message };
    }
    throw error;
  }
}

function isBuiltIn(source) {
  return BUILT_IN.test(source);
}

module.exports = { isBuiltIn, reduceGroup };
