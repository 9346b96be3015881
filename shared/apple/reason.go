package apple

import "grantline/shared/fault"

// Reason is why signed data was refused. It is the cause inside the *fault.Error that
// this package returns, so errors.Is(err, apple.ErrBundle) works. A reason is a fixed
// sentence: nothing of the token is ever in it.
type Reason string

// Error gives the sentence.
func (r Reason) Error() string { return "apple: " + string(r) }

// The reasons. Unless said otherwise they come with kind fault.Invalid.
const (
	// ErrFormat: not a compact JWS of two JSON objects and a signature, or too large (fault.Malformed).
	ErrFormat Reason = "not a compact JWS of JSON objects"
	// ErrDuplicate: a JSON object names a member twice, so that two readers may see
	// different things (fault.Malformed).
	ErrDuplicate Reason = "a JSON member occurs twice"
	// ErrClaims: a member that is needed is missing or of the wrong type (fault.Malformed).
	ErrClaims Reason = "a claim is missing or of the wrong type"
	// ErrAlgorithm: the header's alg is not ES256.
	ErrAlgorithm Reason = "the algorithm is not ES256"
	// ErrCritical: the header has crit (RFC 7515, 4.1.11); we understand no extension.
	ErrCritical Reason = "the header asks for an extension"
	// ErrChainLength: x5c has not exactly three certificates.
	ErrChainLength Reason = "x5c is not of three certificates"
	// ErrCertificate: an element of x5c is not standard base64 of a certificate (fault.Malformed).
	ErrCertificate Reason = "x5c holds something that is not a certificate"
	// ErrRoot: the last certificate is none of the configured roots.
	ErrRoot Reason = "the last certificate is no root of ours"
	// ErrLeaf: the first certificate may not sign data with ES256: its key is not on
	// P-256, or it is an authority, or it is not for signatures.
	ErrLeaf Reason = "the leaf may not sign data"
	// ErrOID: leaf or intermediate lacks the extension that Apple marks its kind with.
	ErrOID Reason = "a certificate is not of the App Store's kind"
	// ErrWindow: the three certificates were not all valid when the data was signed.
	ErrWindow Reason = "the chain was not valid on the day of signing"
	// ErrChain: leaf, intermediate and root do not make a path (RFC 5280).
	ErrChain Reason = "the certificates are no chain"
	// ErrSignature: the leaf's key did not sign these bytes.
	ErrSignature Reason = "the signature is wrong"
	// ErrExpired: a claim exp is there and has passed (RFC 7519, 4.1.4).
	ErrExpired Reason = "exp has passed"
	// ErrNotYet: a claim nbf is there and has not come (RFC 7519, 4.1.5).
	ErrNotYet Reason = "nbf has not come"
	// ErrBundle: the data is about another app, or about none.
	ErrBundle Reason = "the bundle id is not one of ours"
	// ErrApp: the data names another app id than ours.
	ErrApp Reason = "the app id is not ours"
	// ErrEnvironment: the data is of an environment that is not accepted here.
	ErrEnvironment Reason = "the environment is not accepted"

	// ErrMismatch: each part of a notification is genuine and about our app, but they are
	// of two apps, two environments or two purchases.
	ErrMismatch Reason = "the signed parts do not belong together"
	// ErrReceipt: a receipt names no transaction, or cannot be read (fault.Malformed).
	ErrReceipt Reason = "the receipt gives no transaction id"

	// ErrWord: genuine, but it says something that we do not understand, and so neither
	// grants nor revokes (fault.Unavailable).
	ErrWord Reason = "the transaction says something unknown"
)

// The codes of this package's faults.
const (
	CodeInvalid     = "invalid_purchase"
	CodeUnavailable = "store_unavailable"
)

func unreadable(r Reason) error {
	return fault.New(fault.Malformed, CodeInvalid, "The signed transaction cannot be read.").Because(r)
}

func refused(r Reason) error {
	return fault.New(fault.Invalid, CodeInvalid, "The signed transaction proves no purchase in this app.").Because(r)
}

func unknown(cause error) error {
	return fault.New(fault.Unavailable, CodeUnavailable, "The purchase could not be looked up now; ask again.").Because(cause)
}
