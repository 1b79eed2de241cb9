// Package page tests the web page of micro-etcd ui in a real Chromium: the real binary, a real etcd, and real services.
// It is a module of its own, so that nobody else inherits the browser's driver.
//
// `run` installs Chromium if it is missing. Nothing here skips itself: without a browser the tests fail.
package page
