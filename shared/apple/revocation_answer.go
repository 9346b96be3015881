package apple

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"
)

const (
	// answerWithin bounds one question to an authority.
	answerWithin = 10 * time.Second
	// maxAnswer bounds what it says, in bytes. Apple's answers have some 2,000.
	maxAnswer = 64 << 10
	// answerSkew is how far an authority's clock and ours may be apart (App Store Server
	// Library).
	answerSkew = time.Minute
	// undatedLasts is how long an answer counts that does not say when the next comes.
	undatedLasts = 24 * time.Hour
)

// answer is what an authority said of one certificate.
type answer struct {
	Status     StandingState `json:"status,omitempty"` // "" before the first answer
	ThisUpdate time.Time     `json:"thisUpdate,omitzero"`
	NextUpdate time.Time     `json:"nextUpdate,omitzero"` // where not said, a day after ThisUpdate
	FetchedAt  time.Time     `json:"fetchedAt,omitzero"`
	RevokedAt  time.Time     `json:"revokedAt,omitzero"`
}

// ask asks the authority that a certificate names (RFC 6960). An error is no news: it
// says nothing about the certificate. It holds no more than was configured or is public.
func ask(ctx context.Context, client *http.Client, now func() time.Time, certificate, issuer *x509.Certificate) (answer, error) {
	address, err := responder(certificate)
	if err != nil {
		return answer{}, err
	}
	question, err := ocsp.CreateRequest(certificate, issuer, &ocsp.RequestOptions{Hash: crypto.SHA256})
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(question))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/ocsp-request")
	request.Header.Set("Accept", "application/ocsp-response")
	request.Close = true // the next question comes in hours
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return answer{}, err
	}
	if response.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("apple: the authority answers with status %d", response.StatusCode)
	}
	if len(body) > maxAnswer {
		return answer{}, errors.New("apple: the authority's answer is too large")
	}
	return readStatus(body, certificate, issuer, now())
}

// responder is the first address of HTTP, plain or not, at which a certificate says that
// it can be asked about. Plain is Apple's own choice, and loses nothing but that others see
// the question, since answers are signed.
func responder(certificate *x509.Certificate) (string, error) {
	for _, text := range certificate.OCSPServer {
		address, err := url.Parse(text)
		if err == nil && (address.Scheme == "http" || address.Scheme == "https") && address.Host != "" && address.User == nil {
			return text, nil
		}
	}
	return "", errors.New("apple: the certificate names no authority that can be asked")
}

// signedAnswer is the outer shape of a basic response (RFC 6960, 4.2.1), as far as x/crypto
// does not show it.
type signedAnswer struct {
	Data         asn1.RawValue
	Algorithm    pkix.AlgorithmIdentifier
	Signature    asn1.BitString
	Certificates []asn1.RawValue `asn1:"explicit,tag:0,optional"`
}

// answerData is what is signed of it.
type answerData struct {
	Version   int `asn1:"optional,default:0,explicit,tag:0"`
	Responder asn1.RawValue
	Produced  time.Time `asn1:"generalized"`
	Answers   []struct {
		Certificate struct {
			Hash              pkix.AlgorithmIdentifier
			NameHash, KeyHash []byte
			SerialNumber      *big.Int
		}
		Status asn1.RawValue
	}
}

// readStatus reads an answer about a certificate of issuer's. It takes an answer only from
// issuer or from whom issuer has appointed, about this certificate, and of these days (RFC
// 6960, 3.2). The parser checks the form, the signature against a certificate that the
// answer itself brings, and the serial number; the rest is here.
func readStatus(body []byte, certificate, issuer *x509.Certificate, now time.Time) (answer, error) {
	var outer struct {
		Status asn1.Enumerated
		Bytes  struct {
			Type   asn1.ObjectIdentifier
			Signed []byte
		} `asn1:"explicit,tag:0,optional"`
	}
	if _, err := asn1.Unmarshal(body, &outer); err != nil {
		return answer{}, errors.New("apple: the authority's answer cannot be read")
	}
	if outer.Status != asn1.Enumerated(ocsp.Success) {
		return answer{}, ocsp.ResponseError{Status: ocsp.ResponseStatus(outer.Status)}
	}
	var signed signedAnswer
	if _, err := asn1.Unmarshal(outer.Bytes.Signed, &signed); err != nil {
		return answer{}, errors.New("apple: the authority's answer cannot be read")
	}

	// Whose key it is comes first, so that nobody else's is ever computed with.
	direct := len(signed.Certificates) == 0
	if !direct && !bytes.Equal(signed.Certificates[0].FullBytes, issuer.Raw) {
		if err := appointed(signed.Certificates[0].FullBytes, issuer, now); err != nil {
			return answer{}, err
		}
	}
	said, err := ocsp.ParseResponseForCert(body, certificate, nil)
	if err != nil {
		return answer{}, fmt.Errorf("apple: the authority's answer: %w", err)
	}
	if !strong(said.SignatureAlgorithm) {
		return answer{}, errors.New("apple: the authority's answer is signed by a weak algorithm")
	}
	if direct {
		if err := said.CheckSignatureFrom(issuer); err != nil {
			return answer{}, errors.New("apple: the authority's answer is not signed by the issuer")
		}
	}
	if err := concerns(said, certificate, issuer); err != nil {
		return answer{}, err
	}

	a := answer{ThisUpdate: said.ThisUpdate.UTC(), NextUpdate: said.NextUpdate.UTC(), FetchedAt: now.UTC()}
	if said.NextUpdate.IsZero() {
		a.NextUpdate = a.ThisUpdate.Add(undatedLasts)
	}
	if a.ThisUpdate.After(now.Add(answerSkew)) || !a.NextUpdate.After(now.Add(-answerSkew)) || a.NextUpdate.Before(a.ThisUpdate) {
		return answer{}, errors.New("apple: the authority's answer is not of these days")
	}
	switch said.Status {
	case ocsp.Good:
		a.Status = StandingGood
	case ocsp.Unknown:
		a.Status = StandingUnknown
	case ocsp.Revoked:
		// An answer without any status reads as this one too, but has no date.
		if said.RevokedAt.IsZero() {
			return answer{}, errors.New("apple: the authority's answer has no status")
		}
		a.Status, a.RevokedAt = StandingRevoked, said.RevokedAt.UTC()
	default:
		return answer{}, errors.New("apple: the authority's answer has an unknown status")
	}
	return a, nil
}

// appointed says whether issuer has given a certificate to answer in its name, and whether
// it is valid now (RFC 6960, 4.2.2.2). Who has only a leaf's key cannot vouch for the leaf.
func appointed(der []byte, issuer *x509.Certificate, now time.Time) error {
	signer, err := x509.ParseCertificate(der)
	if err != nil {
		return errors.New("apple: the answer's certificate cannot be read")
	}
	switch {
	case !bytes.Equal(signer.RawIssuer, issuer.RawSubject) || !strong(signer.SignatureAlgorithm) || signer.CheckSignatureFrom(issuer) != nil:
		return errors.New("apple: the answer's signer is not of the issuer")
	case !slices.Contains(signer.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return errors.New("apple: the answer's signer may not answer")
	case signer.KeyUsage != 0 && signer.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("apple: the answer's signer may not sign")
	case len(signer.UnhandledCriticalExtensions) > 0:
		return errors.New("apple: the answer's signer has an extension that is not understood")
	case now.Before(signer.NotBefore.Add(-answerSkew)) || now.After(signer.NotAfter.Add(answerSkew)):
		return errors.New("apple: the answer's signer is not valid now")
	}
	return nil
}

// concerns says whether an answer is about this certificate of this issuer. A serial number
// is the issuer's own, and another's certificate may have the same.
func concerns(said *ocsp.Response, certificate, issuer *x509.Certificate) error {
	other := errors.New("apple: the authority's answer is about another certificate")
	var data answerData
	if _, err := asn1.Unmarshal(said.TBSResponseData, &data); err != nil {
		return other
	}
	var key struct {
		Algorithm pkix.AlgorithmIdentifier
		Bits      asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.RawSubjectPublicKeyInfo, &key); err != nil {
		return other
	}
	digest := func(text []byte) []byte {
		hash := said.IssuerHash.New()
		hash.Write(text)
		return hash.Sum(nil)
	}
	for _, a := range data.Answers {
		if a.Certificate.SerialNumber.Cmp(certificate.SerialNumber) != 0 {
			continue
		}
		// The first of this number is the one that was read.
		if bytes.Equal(a.Certificate.NameHash, digest(issuer.RawSubject)) && bytes.Equal(a.Certificate.KeyHash, digest(key.Bits.RightAlign())) {
			return nil
		}
		return other
	}
	return other
}

// strong are the algorithms that Apple's libraries take from an authority.
func strong(a x509.SignatureAlgorithm) bool {
	return slices.Contains([]x509.SignatureAlgorithm{
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512,
		x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
	}, a)
}
