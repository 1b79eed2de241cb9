// Package kit runs registrytest.Bench, as any registry can be measured with it, on ours and on the official plugin.
package kit
