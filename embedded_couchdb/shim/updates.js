'use strict';

// Update functions: (doc, req) => [document to write or null, response]. The response is a text or
// {body or json or base64, code, headers}.
// https://docs.couchdb.org/en/stable/ddocs/ddocs.html#update-functions

const { readBody } = require('./body');
const { checkDocument, writeOne } = require('./documents');
const { call } = require('./functions');
const { CouchError, handle } = require('./http');
const { orMissing } = require('./database');
const { requestObject } = require('./request_object');

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

function renderError(reason) {
  return new CouchError(500, 'render_error', reason);
}

function responseOf(returned) {
  const response = Array.isArray(returned) && returned.length === 2 ? returned[1] : undefined;
  const parts = typeof response === 'string' ? { body: response } : response;
  if (typeof parts !== 'object' || parts === null || Array.isArray(parts)) {
    throw renderError('undefined response from update function');
  }
  const { body, json, base64, code, headers = {}, ...unknown } = parts;
  const isHeader = ([name, value]) => HEADER_NAME.test(name) && HEADER_VALUE.test(value);
  const isSound = Object.keys(unknown).length === 0
    && [body, base64].every((text) => text === undefined || typeof text === 'string')
    && (code === undefined || (Number.isInteger(code) && code >= 200 && code <= 599))
    && typeof headers === 'object' && headers !== null && Object.entries(headers).every(isHeader);
  if (!isSound) {
    throw new CouchError(500, 'external_response_error', `Invalid data from external server: ${JSON.stringify(parts)}`);
  }
  const type = json === undefined ? 'text/html; charset=utf-8' : 'application/json';
  const text = json === undefined ? body ?? '' : JSON.stringify(json);
  const bytes = base64 === undefined ? Buffer.from(text) : Buffer.from(base64, 'base64');
  return { code, headers: { 'Content-Type': type, ...headers }, bytes };
}

async function writeReturned(req, doc) {
  if (typeof doc !== 'object' || doc === null) {
    return undefined;
  }
  if (typeof doc._id !== 'string') {
    throw new CouchError(400, 'illegal_docid', 'Document id must be a string');
  }
  const { _revisions, ...written } = doc;
  checkDocument(written, 0);
  return (await writeOne(req, written)).rev;
}

async function update(req, res) {
  const { name, function: functionName, id } = req.params;
  const bytes = await readBody(req);
  const ddoc = await req.database.designDocument(name);
  const source = ddoc.updates?.[functionName];
  if (typeof source !== 'string') {
    throw new CouchError(404, 'not_found', `missing json key: ${functionName}`);
  }
  const doc = id === undefined ? null : await orMissing(req.db.get(id, { revs: true }), null);
  const path = [req.params.db, '_design', name, '_update', functionName, ...(id === undefined ? [] : [id])];
  const request = await requestObject(req, { body: bytes.toString(), id: id ?? null, path });
  const [{ value, thrown }] = await call({ kind: 'value', source, ddoc }, [[doc, request]]);
  if (thrown !== undefined) {
    const { error, value: thing } = thrown;
    throw renderError(`function raised error: ${error ? `${error.name}: ${error.message}` : JSON.stringify(thing)}`);
  }
  const response = responseOf(value);
  const rev = await writeReturned(req, value[0]);
  const headers = rev === undefined ? response.headers : { ...response.headers, 'X-Couch-Update-NewRev': rev };
  res.writeHead(response.code ?? (rev === undefined ? 200 : 201), headers).end(response.bytes);
}

function refuseGet() {
  throw new CouchError(405, 'method_not_allowed', 'Update functions do not allow GET');
}

function mount(app) {
  const paths = ['/:db/_design/:name/_update/:function', '/:db/_design/:name/_update/:function/:id(*)'];
  app.get(paths, refuseGet);
  app.post(paths, handle(update));
  app.put(paths, handle(update));
}

module.exports = { mount };
