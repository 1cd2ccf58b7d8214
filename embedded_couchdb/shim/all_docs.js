'use strict';

// Lists documents by id: _all_docs and _design_docs. Both take the options of a view query.
// https://docs.couchdb.org/en/stable/api/database/bulk-api.html#db-all-docs

const { jsonBody, requireJsonType } = require('./body');
const { handle, sendJson } = require('./http');
const { checkReduction, optionsOf } = require('./views');

const DESIGN_DOCUMENTS = { startkey: '_design/', endkey: '_design0', inclusive_end: false };
const BEFORE_ALL = '\u0000'; // an empty string is no bound to PouchDB
const DOCUMENT_OPTIONS = ['attachments', 'conflicts', 'include_docs'];
const RANGE_OPTIONS = ['descending', 'endkey', 'inclusive_end', 'key', 'limit', 'skip', 'startkey'];

function only(options, names) {
  return Object.fromEntries(names.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]));
}

function slice(rows, { skip = 0, limit }) {
  return rows.slice(skip, limit === undefined ? undefined : skip + limit);
}

// Returns the rows of the requested keys in their order, duplicates included.
function byKeys(found, options) {
  const byId = new Map(found.rows.map((row) => [row.key, row]));
  const rows = options.keys.map((key) => byId.get(key) ?? { key, error: 'not_found' });
  return { ...found, offset: null, rows: slice(rows, options) };
}

// CouchDB sorts every key that is not a string before all ids.
function withIdsAsKeys({ startkey, endkey, ...options }) {
  const asId = (key) => (key === undefined || typeof key === 'string' ? key : BEFORE_ALL);
  return { ...options, startkey: asId(startkey), endkey: asId(endkey) };
}

function byRange(found, { key, startkey, endkey, descending = false, inclusive_end: isInclusive = true, ...page }) {
  const [low, high] = descending ? [endkey, startkey] : [startkey, endkey];
  const isInside = ({ id }) => (key === undefined || id === key)
    && (low === undefined || id >= low) && (high === undefined || id <= high)
    && (isInclusive || id !== endkey);
  const rows = descending ? [...found.rows].reverse() : found.rows;
  return { ...found, offset: 0, rows: slice(rows.filter(isInside), page) };
}

async function allDocuments(db, options) {
  const documentOptions = only(options, DOCUMENT_OPTIONS);
  if (options.keys !== undefined) {
    const ids = options.keys.filter((key) => typeof key === 'string');
    return byKeys(await db.allDocs({ ...documentOptions, keys: ids }), options);
  }
  if (options.key !== undefined && typeof options.key !== 'string') {
    return { ...await db.allDocs({ limit: 0 }), rows: [] };
  }
  return db.allDocs({ ...documentOptions, ...only(withIdsAsKeys(options), RANGE_OPTIONS) });
}

async function designDocuments(db, options) {
  const found = await db.allDocs({ ...only(options, DOCUMENT_OPTIONS), ...DESIGN_DOCUMENTS });
  found.total_rows = found.rows.length;
  return options.keys === undefined ? byRange(found, withIdsAsKeys(options)) : byKeys(found, options);
}

function answer(list) {
  return handle(async (req, res) => {
    const options = optionsOf(req);
    checkReduction({}, options);
    const found = await list(req.db, options);
    sendJson(res, 200, options.update_seq ? { ...found, update_seq: (await req.db.info()).update_seq } : found);
  });
}

function mount(app) {
  for (const [path, list] of [['/:db/_all_docs', allDocuments], ['/:db/_design_docs', designDocuments]]) {
    app.get(path, answer(list));
    app.post(path, requireJsonType, jsonBody, answer(list));
  }
}

module.exports = { mount };
