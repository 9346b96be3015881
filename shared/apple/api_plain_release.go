//go:build !local

package apple

// plainAPI says whether the API at a host may be asked without TLS: none.
func plainAPI(string) bool { return false }
