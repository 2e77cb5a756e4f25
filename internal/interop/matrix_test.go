//go:build unix

package interop

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
)

// versionNumber is what the versions of Debian's packages have of the project's own.
var versionNumber = regexp.MustCompile(`\d+(\.\d+)*[a-z]?`)

// debian is the version of one of Debian's packages.
func debian(name string) func() (string, error) {
	return func() (string, error) {
		out, err := exec.Command("dpkg-query", "--show", "--showformat=${Version}", name).Output()
		if err != nil {
			return "", err
		}
		_, version, found := strings.Cut(string(out), ":") // after the epoch
		if !found {
			version = string(out)
		}
		return versionNumber.FindString(version), nil
	}
}

// npm is the version of a package of the given directory in testdata.
func npm(dir, name string) func() (string, error) {
	return func() (string, error) {
		p, err := os.ReadFile("testdata/" + dir + "/node_modules/" + name + "/package.json")
		if err != nil {
			return "", err
		}
		var manifest struct{ Version string }
		err = json.Unmarshal(p, &manifest)
		return manifest.Version, err
	}
}

// module is the version of a Go module in this program.
func module(path string) func() (string, error) {
	return func() (string, error) {
		info, _ := debug.ReadBuildInfo()
		for _, dep := range info.Deps {
			if dep.Path == path {
				return strings.TrimPrefix(dep.Version, "v"), nil
			}
		}
		return "", errors.New(path + " is not in this program")
	}
}

// goVersion is Go's, and so net/http's.
func goVersion() (string, error) {
	return versionNumber.FindString(runtime.Version()), nil
}

// javaVersion is that of the java that is run.
func javaVersion() (string, error) {
	out, err := exec.Command("java", "-version").CombinedOutput()
	return versionNumber.FindString(string(out)), err
}
