package cases

import "maps"

// mutants has a mistake for each case, one that the case has to notice.
func mutants() map[string]mutant {
	all := map[string]mutant{}
	for _, some := range []map[string]mutant{
		initMutants(), registerMutants(), nameMutants(), refuseMutants(), deregisterMutants(),
		lookupMutants(), copyMutants(), contextMutants(), watchMutants(), stopMutants(),
		losslessMutants(), ownerMutants(), expiryMutants(), healMutants(), drainMutants(), outageMutants(),
		concurrencyMutants(), closeMutants(),
	} {
		maps.Copy(all, some)
	}
	return all
}
