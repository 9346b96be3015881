//go:build local

package secret

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
)

const (
	inEnvironment = "literal"
	inFile        = "file"
)

// literal takes a text as the secret itself, unless it is a name in Parameter Store.
func literal(text string) (*place, bool) {
	if text == "" || isParameterName(text) {
		return nil, false
	}
	return &place{service: inEnvironment, id: text}, true
}

// file takes a text as the path of a PEM file, or as PEM.
func file(text string) (*place, bool) {
	if text == "" {
		return nil, false
	}
	if strings.HasPrefix(text, "-----BEGIN ") {
		return &place{service: inEnvironment, id: text}, true
	}
	return &place{service: inFile, id: text}, true
}

// fetchHere reads a secret of this machine. A file is read each time, so that it may be
// replaced as a deployed secret may.
func fetchHere(_ context.Context, p place) (string, error) {
	switch p.service {
	case inEnvironment:
		return p.id, nil
	case inFile:
		f, err := os.Open(p.id)
		if err != nil {
			return "", errors.New("the file cannot be opened")
		}
		defer func() { _ = f.Close() }()
		text, err := io.ReadAll(io.LimitReader(f, largest+1))
		if err != nil {
			return "", errors.New("the file cannot be read")
		}
		return string(text), nil
	}
	return "", ErrNotReference
}
