// Package fake compares the scripted etcd of simulations, internal/etcdfake, with a real one.
package fake
