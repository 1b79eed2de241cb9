// Package cases has the cases of the conformance kit, by subject.
package cases

import "slices"

// All returns all cases, in the order in which they run.
func All() []Case {
	return slices.Concat(
		initCases(),
		registerCases(),
		nameCases(),
		refuseCases(),
		changeCases(),
		deregisterCases(),
		lookupCases(),
		copyCases(),
		contextCases(),
		watchCases(),
		watchScopeCases(),
		watchStopCases(),
		losslessCases(),
		cacheCases(),
		ownerCases(),
		expiryCases(),
		healCases(),
		corruptCases(),
		drainCases(),
		outageCases(),
		outageRecoveryCases(),
		concurrencyCases(),
		closeCases(),
	)
}
