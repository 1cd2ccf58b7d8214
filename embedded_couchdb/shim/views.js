'use strict';

// View queries: keys must be JSON (400 otherwise), every option has CouchDB's own spellings, and
// startkey_docid / endkey_docid page through rows of one key.
// https://docs.couchdb.org/en/stable/api/ddoc/views.html

const { jsonBody, jsonObject, parseJson, requireJsonType } = require('./body');
const { CouchError, handle, sendJson } = require('./http');

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
  'attachments', 'conflicts', 'descending', 'group', 'include_docs', 'inclusive_end', 'reduce', 'update_seq',
]);
const UPDATE_TO_STALE = { true: undefined, false: 'ok', lazy: 'update_after' };

function parseError(name, value) {
  return new CouchError(400, 'query_parse_error', `Invalid value for ${name}: ${value}`);
}

function parseScalar(name, text) {
  const isValid = INTEGERS.has(name) ? /^\d+$/.test(text) : /^(true|false)$/.test(text);
  if (!isValid) {
    throw parseError(name, text);
  }
  return JSON.parse(text);
}

function fromQuery(query) {
  const options = {};
  for (const [name, text] of Object.entries(query)) {
    if (JSON_OPTIONS.has(name)) {
      options[JSON_OPTIONS.get(name)] = parseJson(text);
    } else if (DOCUMENT_ID_OPTIONS.has(name)) {
      options[DOCUMENT_ID_OPTIONS.get(name)] = text;
    } else if (INTEGERS.has(name) || BOOLEANS.has(name)) {
      options[name] = parseScalar(name, text);
    } else if (name === 'update') {
      options.stale = UPDATE_TO_STALE[text];
    } else if (name === 'stale') {
      options.stale = text;
    }
  }
  return options;
}

function fromBody(body) {
  const options = {};
  for (const [name, value] of Object.entries(body)) {
    options[JSON_OPTIONS.get(name) ?? DOCUMENT_ID_OPTIONS.get(name) ?? name] = value;
  }
  return options;
}

// How many rows of one key lie before a document id, in the direction of the query.
async function rowsBefore(db, view, key, id, descending) {
  const { rows } = await db.query(view, { key, reduce: false });
  return rows.filter((row) => (descending ? row.id > id : row.id < id)).length;
}

// PouchDB knows no document ids in ranges: they become a number of rows to skip and a number to leave out.
async function query(db, view, { startkey_docid: startId, endkey_docid: endId, ...options }) {
  const { startkey, endkey, descending = false } = options;
  if (startId !== undefined && startkey !== undefined) {
    options.skip = (options.skip ?? 0) + await rowsBefore(db, view, startkey, startId, descending);
  }
  if (endId === undefined || endkey === undefined) {
    return db.query(view, options);
  }
  const sameKey = JSON.stringify(endkey);
  const isInside = (row) => JSON.stringify(row.key) !== sameKey || (descending ? row.id >= endId : row.id <= endId);
  const result = await db.query(view, options);
  return { ...result, rows: result.rows.filter(isInside) };
}

async function answer(req, res) {
  const options = { ...fromQuery(req.query), ...(req.method === 'POST' ? fromBody(jsonObject(req)) : {}) };
  if (options.keys !== undefined && !Array.isArray(options.keys)) {
    throw new CouchError(400, 'bad_request', '`keys` must be an array.');
  }
  sendJson(res, 200, await query(req.db, `${req.params.ddoc}/${req.params.view}`, options));
}

function mount(app) {
  app.get('/:db/_design/:ddoc/_view/:view', handle(answer));
  app.post('/:db/_design/:ddoc/_view/:view', requireJsonType, jsonBody, handle(answer));
}

module.exports = { mount };
