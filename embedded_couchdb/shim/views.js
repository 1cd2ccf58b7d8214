'use strict';

// View queries. Keys are JSON, options have all of CouchDB's spellings, and startkey_docid and endkey_docid bound the
// rows of one key.
// https://docs.couchdb.org/en/stable/api/ddoc/views.html

const { collate } = require('pouchdb-collate');
const { jsonBody, jsonObject, parseJson, requireJsonType } = require('./body');
const { CouchError, handle, sendJson } = require('./http');
const { reduceGroup } = require('./reduce');

const JSON_OPTIONS = new Map([
  ['key', 'key'], ['keys', 'keys'], ['startkey', 'startkey'], ['start_key', 'startkey'],
  ['endkey', 'endkey'], ['end_key', 'endkey'],
]);
const DOCUMENT_ID_OPTIONS = new Map([
  ['startkey_docid', 'startkey_docid'], ['start_key_doc_id', 'startkey_docid'],
  ['endkey_docid', 'endkey_docid'], ['end_key_doc_id', 'endkey_docid'],
]);
const INTEGERS = new Set(['limit', 'skip', 'group_level']);
const BOOLEANS = new Set([
  'attachments', 'conflicts', 'descending', 'group', 'include_docs', 'inclusive_end', 'reduce', 'sorted', 'stable',
  'update_seq',
]);
const CHOICES = { update: ['true', 'false', 'lazy'], stale: ['ok', 'update_after'] };
const STALE_TO_UPDATE = { ok: 'false', update_after: 'lazy' };
const LARGEST_LIMIT = 576460752303423487;

function parseError(reason) {
  return new CouchError(400, 'query_parse_error', reason);
}

function parseInteger(value) {
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
  if (!Number.isInteger(number)) {
    throw parseError(`Invalid value for integer: ${JSON.stringify(value)}`);
  }
  if (number < 0) {
    throw parseError(`Invalid value for positive integer: ${JSON.stringify(value)}`);
  }
  if (number > LARGEST_LIMIT) {
    throw parseError(`Limit is too large, must not exceed ${LARGEST_LIMIT}`);
  }
  return number;
}

function parseBoolean(value) {
  if (![true, false, 'true', 'false'].includes(value)) {
    throw parseError(`Invalid boolean parameter: ${JSON.stringify(value)}`);
  }
  return String(value) === 'true';
}

function parseChoice(name, value) {
  const text = typeof value === 'boolean' ? String(value) : value;
  if (!CHOICES[name].includes(text)) {
    throw parseError(`Invalid value for \`${name}\`.`);
  }
  return text;
}

function parseId(name, value) {
  if (typeof value !== 'string') {
    throw parseError(`\`${name}\` must be a string.`);
  }
  return value;
}

// Parses the options of a query string (where keys are JSON texts) or of a JSON body. It ignores unknown ones.
function parseOptions(given, parseKey) {
  const options = {};
  for (const [name, value] of Object.entries(given)) {
    if (JSON_OPTIONS.has(name)) {
      options[JSON_OPTIONS.get(name)] = parseKey(value);
    } else if (DOCUMENT_ID_OPTIONS.has(name)) {
      options[DOCUMENT_ID_OPTIONS.get(name)] = parseId(name, value);
    } else if (INTEGERS.has(name)) {
      options[name] = parseInteger(value);
    } else if (BOOLEANS.has(name)) {
      options[name] = parseBoolean(value);
    } else if (Object.hasOwn(CHOICES, name)) {
      options[name] = parseChoice(name, value);
    }
  }
  if (options.keys !== undefined && !Array.isArray(options.keys)) {
    throw new CouchError(400, 'bad_request', '`keys` parameter must be an array.');
  }
  return options;
}

function optionsOf(req) {
  const fromQuery = parseOptions(req.query, parseJson);
  const fromBody = req.method === 'POST' ? parseOptions(jsonObject(req), (key) => key) : {};
  return withKeysOrRange({ ...fromQuery, ...fromBody });
}

// Several keys and a range are incompatible; one key, or none, replaces a range.
function withKeysOrRange(options) {
  const { key, startkey, endkey, ...others } = options;
  if (options.keys === undefined) {
    return options;
  }
  if (options.keys.length > 1 && [key, startkey, endkey].some((bound) => bound !== undefined)) {
    throw parseError('`keys` is incompatible with `key`, `start_key` and `end_key`');
  }
  return others;
}

function checkReduction({ reduce }, options) {
  const { group = false, group_level: level = 0, keys = [] } = options;
  const isReduced = reduce !== undefined && options.reduce !== false;
  if (options.reduce === true && reduce === undefined) {
    throw parseError('Reduce is invalid for map-only views.');
  }
  if (!isReduced && (group || level > 0)) {
    throw parseError('Invalid use of grouping on a map view.');
  }
  if (options.group === false && level > 0) {
    throw parseError('Can\'t specify group=false and group_level>0 at the same time');
  }
  if (isReduced && options.include_docs) {
    throw parseError('`include_docs` is invalid for reduce');
  }
  if (isReduced && options.conflicts) {
    throw parseError('`conflicts` is invalid for reduce views.');
  }
  if (isReduced && keys.length > 1 && !group && level === 0) {
    throw parseError('Multi-key fetches for reduce views must use `group=true`');
  }
  return isReduced;
}

// Counts the rows of one key before a document id, in the direction of the query.
async function rowsBefore(index, key, id, descending, update) {
  const { rows } = await index.query({ key, update });
  return rows.filter((row) => (descending ? row.id > id : row.id < id)).length;
}

function isUpTo(endKey, endId, descending) {
  return (row) => collate(row.key, endKey) !== 0 || (descending ? row.id >= endId : row.id <= endId);
}

// PouchDB has no document ids in ranges: the first one becomes a number of rows to skip, the last one a filter.
async function mappedRows(index, { startkey_docid: startId, endkey_docid: endId, ...given }) {
  const { descending = false, key, startkey = key, endkey = key, update } = given;
  const options = Object.fromEntries(
    ['descending', 'endkey', 'inclusive_end', 'key', 'keys', 'limit', 'skip', 'startkey', 'update', 'update_seq']
      .filter((name) => given[name] !== undefined).map((name) => [name, given[name]]),
  );
  if (startId !== undefined && startkey !== undefined) {
    options.skip = (options.skip ?? 0) + await rowsBefore(index, startkey, startId, descending, update);
  }
  if (endId === undefined || endkey === undefined) {
    return index.query(options);
  }
  const { limit, ...unlimited } = options;
  const result = await index.query(unlimited);
  return { ...result, rows: result.rows.filter(isUpTo(endkey, endId, descending)).slice(0, limit) };
}

function groupsOf(rows, { group, group_level: level = group ? Infinity : 0 }) {
  const groups = [];
  for (const row of rows) {
    const groupKey = Array.isArray(row.key) ? row.key.slice(0, level) : row.key;
    const key = level === 0 ? null : groupKey;
    const last = groups.at(-1);
    if (last !== undefined && collate(last.key, key) === 0) {
      last.rows.push(row);
    } else {
      groups.push({ key, rows: [row] });
    }
  }
  return groups;
}

async function reducedRows(index, source, { limit, skip = 0, keys, ...options }) {
  const isGrouped = options.group || options.group_level > 0;
  // Each requested key makes groups of its own, even if the same key is requested twice.
  const ranges = keys === undefined || !isGrouped
    ? [{ ...options, keys }]
    : keys.map((key) => ({ ...options, key }));
  const results = [];
  for (const range of ranges) {
    results.push(await mappedRows(index, range));
  }
  const groups = results.flatMap(({ rows }) => groupsOf(rows, options));
  const end = limit === undefined ? undefined : skip + limit;
  const rows = [];
  for (const group of groups.slice(skip, end)) {
    rows.push(await reduceGroup(source, group, options.descending));
  }
  return options.update_seq ? { update_seq: results[0].update_seq, rows } : { rows };
}

// The document of a row is the one that its value names by _id, or else the one that emitted it.
async function withDocuments(db, rows, { conflicts = false, attachments = false }) {
  const idOf = (row) => row.value?._id ?? row.id;
  const ids = [...new Set(rows.map(idOf))].filter((id) => typeof id === 'string');
  const docs = new Map(await Promise.all(ids.map(async (id) => (
    [id, await db.get(id, { conflicts, attachments }).catch(() => null)]
  ))));
  return rows.map((row) => ({ ...row, doc: docs.get(idOf(row)) ?? null }));
}

function viewOf(ddoc, name) {
  const { language = 'javascript', views = {} } = ddoc;
  if (!Object.hasOwn(views, name) || name === 'lib') {
    throw new CouchError(404, 'not_found', 'missing_named_view');
  }
  if (language === 'query') {
    throw new CouchError(501, 'not_implemented', 'The stand-in has no Mango indexes.');
  }
  if (language !== 'javascript') {
    throw new CouchError(500, 'unknown_query_language', language);
  }
  return views[name];
}

async function query(database, ddoc, name, { stale, ...given }) {
  const view = viewOf(ddoc, name);
  const options = { update: STALE_TO_UPDATE[stale], ...given };
  const isReduced = checkReduction(view, options);
  const index = database.indexes.of(ddoc, name);
  if (isReduced) {
    return reducedRows(index, view.reduce, options);
  }
  const result = await mappedRows(index, options);
  return options.include_docs
    ? { ...result, rows: await withDocuments(database.pouch, result.rows, options) }
    : result;
}

async function answer(req, res) {
  const ddoc = await req.database.designDocument(req.params.ddoc);
  sendJson(res, 200, await query(req.database, ddoc, req.params.view, optionsOf(req)));
}

async function answerQueries(req, res) {
  const { queries } = jsonObject(req);
  if (!Array.isArray(queries)) {
    throw new CouchError(400, 'bad_request', 'POST body must include `queries` parameter.');
  }
  const ddoc = await req.database.designDocument(req.params.ddoc);
  const results = [];
  for (const each of queries) {
    const options = withKeysOrRange(parseOptions(each ?? {}, (key) => key));
    results.push(await query(req.database, ddoc, req.params.view, options));
  }
  sendJson(res, 200, { results });
}

function mount(app) {
  const path = '/:db/_design/:ddoc/_view/:view';
  app.get(path, handle(answer));
  app.post(path, requireJsonType, jsonBody, handle(answer));
  app.post(`${path}/queries`, requireJsonType, jsonBody, handle(answerQueries));
}

module.exports = { checkReduction, mount, optionsOf };
