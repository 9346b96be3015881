package play

// Waits counts the callers that wait for an answer about a product that another asked for.
func (a *API) Waits() int {
	a.products.mu.Lock()
	defer a.products.mu.Unlock()
	return a.products.waiting
}

// Shared counts the answers about products that are being asked for.
func (a *API) Shared() int {
	a.products.mu.Lock()
	defer a.products.mu.Unlock()
	return len(a.products.asking)
}
