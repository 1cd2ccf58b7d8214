'use strict';

// Puts the server together: CouchDB's HTTP API, one file a subject, in front of PouchDB.

const path = require('node:path');
const express = require('express');
const PouchNode = require('pouchdb-node');
const { Databases, mount: mountDatabases } = require('./databases');
const { CouchError, remember, sendError, sendJson } = require('./http');
const auth = require('./auth');
const info = require('./info');
const replication = require('./replication');
const unsupported = require('./unsupported');

const SYSTEM_DATABASES = ['_users', '_replicator'];
const DATABASE_PARTS = [
  'settings', 'bulk', 'all_docs', 'changes', 'views', 'updates', 'design_documents', 'documents', 'attachments',
].map((name) => require(`./${name}`));

function plainExpress() {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  return app;
}

// CouchDB reads a + in a path as a space, and /db/_design%2Fname as /db/_design/name.
function decodePath(req, res, next) {
  const [path, ...query] = req.url.split('?');
  const decoded = path.replaceAll('+', '%20').replace(/^(\/[^/]+\/_(?:design|local))%2F/i, '$1/');
  req.url = [decoded, ...query].join('?');
  next();
}

// Of a parameter that is given twice, the last value counts.
function takeLastOfEach(req, res, next) {
  for (const [name, value] of Object.entries(req.query)) {
    req.query[name] = Array.isArray(value) ? value.at(-1) : value;
  }
  next();
}

async function createApp(folder, credentials) {
  const PouchDB = PouchNode.defaults({ prefix: folder + path.sep });
  const databases = new Databases(PouchDB, folder);
  for (const name of SYSTEM_DATABASES) {
    await databases.create(name).catch(ignoreExisting);
  }
  const replicator = new replication.Replicator(PouchDB, await databases.get('_replicator'));

  const app = plainExpress();
  app.use(remember, decodePath, takeLastOfEach);
  auth.mount(app, credentials);
  info.mountServer(app);
  replication.mount(app, replicator, credentials);
  unsupported.mountServer(app);
  mountDatabases(app, databases);
  info.mountDatabase(app);
  unsupported.mountDatabase(app);
  for (const part of DATABASE_PARTS) {
    part.mount(app, databases);
  }
  app.use((req, res) => sendJson(res, 404, { error: 'not_found', reason: 'missing' }));
  app.use(sendError);
  replicator.follow();
  return app;
}

function ignoreExisting(error) {
  if (!(error instanceof CouchError && error.status === 412)) {
    throw error;
  }
}

module.exports = { createApp };
