'use strict';

// _find with CouchDB's limit of 25, bookmarks to continue from, and `_conflicts` in selectors.
// https://docs.couchdb.org/en/stable/api/database/find.html

const { matchesSelector } = require('pouchdb-selector-core');
const { jsonBody, jsonObject, requireJsonType } = require('./body');
const { CouchError, handle, sendJson } = require('./http');

const DEFAULT_LIMIT = 25;
const OPERATORS = new Set([
  '$all', '$allMatch', '$and', '$elemMatch', '$eq', '$exists', '$gt', '$gte', '$in', '$keyMapMatch', '$lt', '$lte',
  '$mod', '$ne', '$nin', '$nor', '$not', '$or', '$regex', '$size', '$type', '$beginsWith',
]);
const NO_BOOKMARK = 'nil';

// A bookmark tells how many documents came before it.
function encodeBookmark(count) {
  return Buffer.from(JSON.stringify({ skip: count })).toString('base64url');
}

function decodeBookmark(bookmark) {
  if (bookmark === undefined || bookmark === '' || bookmark === NO_BOOKMARK) {
    return 0;
  }
  try {
    return JSON.parse(Buffer.from(bookmark, 'base64url').toString()).skip;
  } catch {
    throw new CouchError(400, 'invalid_bookmark', `Invalid bookmark value: "${bookmark}"`);
  }
}

function checkSelector(selector) {
  for (const [name, value] of Object.entries(selector)) {
    if (name.startsWith('$') && !OPERATORS.has(name)) {
      throw new CouchError(400, 'invalid_operator', `Invalid operator: ${name}`);
    }
    if (['$and', '$or', '$nor'].includes(name) && !Array.isArray(value)) {
      throw new CouchError(400, 'bad_arg', `Bad argument for operator ${name}`);
    }
    if (typeof value === 'object' && value !== null) {
      checkSelector(value);
    }
  }
}

function checkCount(count) {
  if (!Number.isInteger(count) || count < 0) {
    throw new CouchError(400, 'invalid_non_neg_integer', `${count} is not an integer of 0 or more`);
  }
}

function pick(doc, fields) {
  return fields ? Object.fromEntries(fields.filter((name) => name in doc).map((name) => [name, doc[name]])) : doc;
}

// PouchDB's indexes hold no conflicts: look at every document.
async function scan(db, { selector, skip, limit, fields }) {
  const { rows } = await db.allDocs({ include_docs: true, conflicts: true });
  const docs = rows.map((row) => row.doc).filter((doc) => matchesSelector(doc, selector));
  return { docs: docs.slice(skip, skip + limit).map((doc) => pick(doc, fields)) };
}

async function find(req, res) {
  const { bookmark, skip = 0, limit = DEFAULT_LIMIT, conflicts = false, ...request } = jsonObject(req);
  if (typeof request.selector !== 'object' || request.selector === null) {
    throw new CouchError(400, 'missing_required_key', 'Missing required key: selector');
  }
  checkSelector(request.selector);
  checkCount(limit);
  checkCount(skip);
  const page = { ...request, limit, skip: skip + decodeBookmark(bookmark) };
  const needsConflicts = conflicts || JSON.stringify(request.selector).includes('"_conflicts"');
  const result = await (needsConflicts ? scan(req.db, page) : req.db.find(page));
  const count = result.docs.length;
  const answer = { docs: result.docs, bookmark: count > 0 ? encodeBookmark(page.skip + count) : NO_BOOKMARK };
  sendJson(res, 200, result.warning ? { ...answer, warning: result.warning } : answer);
}

function mount(app) {
  app.post('/:db/_find', requireJsonType, jsonBody, handle(find));
}

module.exports = { mount };
