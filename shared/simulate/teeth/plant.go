package teeth

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
)

// Plant writes the changed copies of the files that edits change into a folder, and beside
// them the overlay by which the go command takes them for the files of the module at root. It
// returns the overlay's path. Nothing in the module is written.
func Plant(root, folder string, edits []Edit) (overlay string, err error) {
	replace := map[string]string{}
	for i, file := range files(edits) {
		original := filepath.Join(root, filepath.FromSlash(file))
		text, err := os.ReadFile(original) //nolint:gosec // a file of the module, named in the table of faults
		if err != nil {
			return "", fmt.Errorf("teeth: %w", err)
		}
		changed, err := in(file, string(text), edits)
		if err != nil {
			return "", err
		}
		if _, err := parser.ParseFile(token.NewFileSet(), file, changed, parser.SkipObjectResolution); err != nil {
			return "", fmt.Errorf("teeth: %w", err)
		}
		copied := filepath.Join(folder, fmt.Sprintf("%d-%s", i, filepath.Base(file)))
		if err := os.WriteFile(copied, []byte(changed), 0o600); err != nil { //nolint:gosec // into the folder that was asked for
			return "", fmt.Errorf("teeth: %w", err)
		}
		replace[original] = copied
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(folder, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}

// Root is the folder of the module that dir lies in.
func Root(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("teeth: no go.mod in this folder or above it")
		}
		dir = up
	}
}
