package dodo

import "net/http"

// OwnTransport is the transport of a Config without one; tests make it trust theirs.
func OwnTransport() *http.Transport { return ownTransport() }
