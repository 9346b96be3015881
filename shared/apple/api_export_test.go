package apple

import "net/http"

// APITransport is the transport of an APIConfig without one; tests make it trust theirs.
func APITransport() *http.Transport { return apiTransport() }

// Tokens counts the tokens that are kept.
func (a *API) Tokens() int {
	a.bearer.mu.Lock()
	defer a.bearer.mu.Unlock()
	return len(a.bearer.made)
}
