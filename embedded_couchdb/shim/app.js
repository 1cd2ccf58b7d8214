'use strict';

// The whole server: PouchDB, express-pouchdb for what it answers as CouchDB does, and the shim in front of it.

const path = require('node:path');
const express = require('express');
const expressPouchDB = require('express-pouchdb');
const PouchNode = require('pouchdb-node');
const auth = require('./auth');
const { jsonBody, requireJsonType } = require('./body');
const bulk = require('./bulk');
const changes = require('./changes');
const { Databases, mount: mountDatabases } = require('./databases');
const designCache = require('./design_cache');
const designDocuments = require('./design_documents');
const documents = require('./documents');
const find = require('./find');
const { CouchError, sendError, sendJson } = require('./http');
const info = require('./info');
const mapreduce = require('./mapreduce');
const replication = require('./replication');
const security = require('./security');
const views = require('./views');

const EXPRESS_POUCHDB_PARTS = [
  'config-infrastructure', 'routes/404', 'routes/all-docs', 'routes/attachments', 'routes/compact', 'routes/db',
  'routes/find', 'routes/revs-diff', 'routes/show', 'routes/update', 'routes/view-cleanup',
];
const SYSTEM_DATABASES = ['_users', '_replicator'];
const JSON_ENDPOINTS = [
  '_all_docs', '_compact', '_ensure_full_commit', '_explain', '_index', '_revs_diff', '_view_cleanup',
];

function plainExpress() {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  return app;
}

function behind(PouchDB) {
  const app = expressPouchDB({
    mode: 'custom',
    overrideMode: { include: EXPRESS_POUCHDB_PARTS },
    inMemoryConfig: true,
  });
  app.disable('etag');
  return app.setPouchDB(PouchDB).then(() => app);
}

// express-pouchdb answers text/plain to who accepts anything; CouchDB answers JSON.
function preferJson(req, res, next) {
  if (/\*\/\*|application\/json/.test(req.headers.accept ?? '*/*')) {
    req.headers.accept = 'application/json';
  }
  next();
}

function orEmpty(req, res, next) {
  req.body ??= {};
  next();
}

// express-pouchdb gets what it answers as CouchDB does, and nothing else: of the rest, some ends the process.
function passOn(app, couch) {
  app.get(['/:db/_all_docs', '/:db/_index'], couch);
  app.post(JSON_ENDPOINTS.map((name) => `/:db/${name}`), requireJsonType, jsonBody, orEmpty, couch);
  app.delete('/:db/_index/:ddoc/:type/:name', couch);
  app.all('/:db/_design/:name/:kind(_update|_show)/*', couch);
  for (const path of ['/:db/_design/:name/:attachment(*)', '/:db/:name/:attachment(*)']) {
    app.get(path, unlessEndpoint, couch);
    app.put(path, unlessEndpoint, couch);
    app.delete(path, unlessEndpoint, couch);
  }
}

function unlessEndpoint(req, res, next) {
  next(req.params.name.startsWith('_') || req.params.attachment.startsWith('_') ? 'route' : undefined);
}

async function createApp(folder, credentials) {
  const PouchDB = PouchNode.plugin(mapreduce).defaults({ prefix: folder + path.sep });
  const couch = await behind(PouchDB);
  couch.dbWrapper.registerWrapper(designCache.wrapDatabase);
  const databases = new Databases(PouchDB, couch.dbWrapper);
  await databases.load();
  for (const name of SYSTEM_DATABASES) {
    await databases.create(name).catch(ignoreExisting);
  }

  const app = plainExpress();
  app.use(preferJson);
  auth.mount(app, credentials);
  info.mountServer(app);
  replication.mount(app, PouchDB, credentials);
  mountDatabases(app, databases);
  info.mountDatabase(app);
  for (const part of [security, bulk, changes, find, views, designDocuments, documents]) {
    part.mount(app);
  }
  passOn(app, couch);
  app.use((req, res) => sendJson(res, 404, { error: 'not_found', reason: 'missing' }));
  app.use(sendError);
  new replication.Replicator(PouchDB, await databases.open('_replicator')).follow();
  return app;
}

function ignoreExisting(error) {
  if (!(error instanceof CouchError && error.status === 412)) {
    throw error;
  }
}

module.exports = { createApp };
