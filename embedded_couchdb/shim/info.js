'use strict';

// What the server and a database say of themselves: the welcome page and /_up (which health checks ask), ids
// for documents, and a database's figures with the sizes of CouchDB 3.x.
// https://docs.couchdb.org/en/stable/api/server/common.html

const { CouchError, handle, sendJson } = require('./http');
const { folderBytes, sizesOf } = require('./sizes');
const { uuid } = require('./uuids');

const COUCHDB_VERSION = '3.5.0';
const MAX_UUIDS = 1000;

function uuids(req, res) {
  const count = Number(req.query.count ?? 1);
  if (!Number.isInteger(count) || count < 0) {
    throw new CouchError(400, 'query_parse_error', `Invalid value for integer: "${req.query.count}"`);
  }
  if (count > MAX_UUIDS) {
    throw new CouchError(400, 'bad_request', 'count parameter too large');
  }
  res.setHeader('Cache-Control', 'no-cache');
  sendJson(res, 200, { uuids: Array.from({ length: count }, uuid) });
}

async function databaseInfo(req, res) {
  const { doc_count: docCount, update_seq: updateSeq } = await req.db.info();
  sendJson(res, 200, {
    db_name: req.params.db,
    purge_seq: 0,
    update_seq: updateSeq,
    sizes: sizesOf(await folderBytes(req.db)),
    props: {},
    doc_count: docCount,
    disk_format_version: 8,
    compact_running: false,
    cluster: { q: 1, n: 1, w: 1, r: 1 },
    instance_start_time: '0',
  });
}

function mountServer(app) {
  app.get('/', (req, res) => sendJson(res, 200, {
    couchdb: 'Welcome', version: COUCHDB_VERSION, features: [], vendor: { name: 'embedded_couchdb' },
  }));
  app.get('/_up', (req, res) => sendJson(res, 200, { status: 'ok', seeds: {} }));
  app.get('/_uuids', uuids);
}

function mountDatabase(app) {
  app.get('/:db', handle(databaseInfo));
}

module.exports = { mountDatabase, mountServer };
