// Package record makes, copies, compares and folds the services that the cases register.
package record
