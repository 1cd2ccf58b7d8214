'use strict';

// What CouchDB refuses when a design document is uploaded: members of a wrong type, and map and reduce functions
// that don't compile. Other languages than JavaScript are not looked into.
// https://docs.couchdb.org/en/stable/ddocs/ddocs.html

const vm = require('node:vm');
const { CouchError } = require('./http');

const BUILT_IN_REDUCES = new Set(['_count', '_stats', '_sum']);

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(reason) {
  return new CouchError(400, 'invalid_design_doc', reason);
}

function requireType(value, isRight, name, type) {
  if (value !== undefined && !isRight(value)) {
    throw invalid(`\`${name}\` field must have ${type} type`);
  }
}

function isString(value) {
  return typeof value === 'string';
}

function isFunction(source) {
  try {
    return typeof vm.runInNewContext(`(${source.replace(/;\s*$/, '')}\n)`, {}, { timeout: 1000 }) === 'function';
  } catch {
    return false;
  }
}

function requireFunction(source, role, view) {
  if (!isFunction(source)) {
    throw new CouchError(400, 'compilation_error',
      `Compilation of the ${role} function in the '${view}' view failed: (${source})`);
  }
}

function checkView(name, view) {
  requireType(view, isObject, `views.${name}`, 'object');
  const { map, reduce } = view;
  if (map === undefined) {
    throw invalid(`View \`${name}\` must contain map function`);
  }
  requireType(map, isString, `views.${name}.map`, 'string');
  requireType(reduce, isString, `views.${name}.reduce`, 'string');
  requireFunction(map, 'map', name);
  if (reduce?.startsWith('_') && !BUILT_IN_REDUCES.has(reduce)) {
    throw invalid(`\`${reduce}\` is not a supported reduce function.`);
  }
  if (reduce !== undefined && !reduce.startsWith('_')) {
    requireFunction(reduce, 'reduce', name);
  }
}

function checkDesignDocument({ language = 'javascript', views = {}, validate_doc_update: validate }) {
  requireType(language, isString, 'language', 'string');
  requireType(views, isObject, 'views', 'object');
  requireType(validate, isString, 'validate_doc_update', 'string');
  if (language !== 'javascript') {
    return;
  }
  for (const [name, view] of Object.entries(views)) {
    if (name !== 'lib') {
      checkView(name, view);
    }
  }
}

module.exports = { checkDesignDocument };
