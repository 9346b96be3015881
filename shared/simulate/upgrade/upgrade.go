// Package upgrade builds simulators in which two versions of the code are at work at once: that
// of the module, and that of another commit. Nothing is written into the module: the older
// packages lie in a temporary folder, with their imports changed, and an overlay of the go
// command puts them beside the module's own.
//
//	go run ./shared/simulate/upgrade/cmd/upgrade -from main~20 -seeds 1-20
//
// Whoever changes the shape of a record, of a message or of the index sees here whether a
// release can roll out over hours, and be taken back.
package upgrade

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// alike are the packages that both versions share: those of the ports between the product and
// what it stands on. Whatever else the functions' wiring imports is of each version's own.
var alike = []string{"shared/clock", "shared/fault", "shared/table", "shared/simulate/version"}

const (
	module = "grantline/"
	wiring = "shared/simulate/release"
	beside = "shared/older/" // where the older packages are for the go command
	main   = "shared/simulate/cmd/simulate"
)

// Code is the files of a version, by their paths in the module.
type Code map[string][]byte

// Commit is the code of a commit. It needs git, and that commit in the repository.
func Commit(ctx context.Context, root, commit string) (Code, error) {
	command := exec.CommandContext(ctx, "git", "archive", "--format=tar", commit, "shared") //nolint:gosec // of the caller's own repository
	command.Dir = root
	var said bytes.Buffer
	command.Stderr = &said
	archive, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("upgrade: git archive %s: %w: %s", commit, err, &said)
	}
	c := Code{}
	for files := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("upgrade: %w", err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if c[header.Name], err = io.ReadAll(files); err != nil {
			return nil, fmt.Errorf("upgrade: %w", err)
		}
	}
	return c, nil
}

// Now is the module's code as it lies there.
func Now(root string) (Code, error) {
	c := Code{}
	return c, c.add(root, "shared")
}

func (c Code) has(folder string) bool {
	for name := range c {
		if strings.HasPrefix(name, folder+"/") {
			return true
		}
	}
	return false
}

func (c Code) add(root, folder string) error {
	files := os.DirFS(root)
	return fs.WalkDir(files, folder, func(name string, of fs.DirEntry, err error) error {
		if err != nil || !of.Type().IsRegular() {
			return err
		}
		c[name], err = fs.ReadFile(files, name)
		return err
	})
}

// Overlay writes the older code into a folder, and beside it the overlay by which the go command
// finds it in the module at root and builds the simulator with it. It returns the overlay's path.
func (c Code) Overlay(root, folder, name string) (overlay string, err error) {
	packages, err := c.packages(root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	put := func(file string, text []byte) error {
		copied := filepath.Join(folder, fmt.Sprintf("%d-%s", len(replace), path.Base(file)))
		replace[filepath.Join(root, filepath.FromSlash(file))] = copied
		return os.WriteFile(copied, text, 0o600)
	}
	for _, file := range slices.Sorted(maps.Keys(c)) {
		of := c.packageOf(file, packages)
		if of == "" {
			continue
		}
		text := c[file]
		if strings.HasSuffix(file, ".go") {
			if text, err = moved(file, text, packages); err != nil {
				return "", err
			}
		}
		if err := put(beside+strings.TrimPrefix(file, "shared/"), text); err != nil {
			return "", fmt.Errorf("upgrade: %w", err)
		}
	}
	register := fmt.Sprintf("package main\n\nimport (\n\t%q\n\t%q\n)\n\nfunc init() { version.Register(version.Older{Name: %q, New: release.New}) }\n",
		module+beside+strings.TrimPrefix(wiring, "shared/"), module+"shared/simulate/version", name)
	if err := put(main+"/older.go", []byte(register)); err != nil {
		return "", fmt.Errorf("upgrade: %w", err)
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(folder, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}

// packages are those that the wiring is made of, whose text may differ. One that is younger than
// the commit, as the wiring itself may be, is the module's.
func (c Code) packages(root string) (map[string]bool, error) {
	found, left := map[string]bool{}, []string{wiring}
	for len(left) > 0 {
		of := left[0]
		if left = left[1:]; found[of] {
			continue
		}
		found[of] = true
		if !c.has(of) {
			if err := c.add(root, of); err != nil {
				return nil, fmt.Errorf("upgrade: %w", err)
			}
		}
		for file, text := range c {
			if path.Dir(file) != of || !source(file) {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ImportsOnly)
			if err != nil {
				return nil, fmt.Errorf("upgrade: %w", err)
			}
			for _, i := range parsed.Imports {
				name, err := strconv.Unquote(i.Path.Value)
				if err != nil {
					return nil, fmt.Errorf("upgrade: %w", err)
				}
				if in, ours := strings.CutPrefix(name, module); ours && !slices.Contains(alike, in) {
					left = append(left, in)
				}
			}
		}
	}
	return found, nil
}

func source(file string) bool {
	return strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go")
}

// packageOf is the package whose a file is, "" of one that is not copied; what is embedded may lie
// in a folder of its own.
func (c Code) packageOf(file string, packages map[string]bool) string {
	if strings.HasSuffix(file, "_test.go") || strings.Contains(file, "/testdata/") {
		return ""
	}
	of := path.Dir(file)
	if strings.HasSuffix(file, ".go") {
		if packages[of] {
			return of
		}
		return ""
	}
	for ; of != "."; of = path.Dir(of) {
		if packages[of] {
			return of
		}
	}
	return ""
}

// moved is a file whose imports of these packages are of the older ones.
func moved(file string, text []byte, packages map[string]bool) ([]byte, error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, text, parser.ImportsOnly)
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	var out bytes.Buffer
	done := 0
	for _, i := range parsed.Imports {
		name := strings.Trim(i.Path.Value, `"`)
		in, ours := strings.CutPrefix(name, module)
		if !ours || !packages[in] {
			continue
		}
		at := set.Position(i.Path.Pos()).Offset
		out.Write(text[done:at])
		fmt.Fprintf(&out, "%q", module+beside+strings.TrimPrefix(in, "shared/"))
		done = at + len(i.Path.Value)
	}
	out.Write(text[done:])
	return out.Bytes(), nil
}

// Build builds the simulator with an overlay.
func Build(ctx context.Context, root, overlay, binary string) error {
	command := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", binary, "./"+main) //nolint:gosec // the go command
	command.Dir = root
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("upgrade: the two versions do not build together: %w\n%s", err, said)
	}
	return nil
}
