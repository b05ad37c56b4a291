"""What the contract tests read from ELF files, through nm and readelf."""
import subprocess


def _lines(*command):
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def dynamic_symbols(library):
    """Names the library defines for others, without their version."""
    lines = _lines("nm", "--dynamic", "--defined-only", "--format=posix", library)
    return {line.split()[0] for line in lines}


def exported_versions(library):
    return {symbol.split("@", 1)[1] for symbol in dynamic_symbols(library) if "@" in symbol}


def defined_symbols(object_file):
    """External names the object defines, weak ones (inline functions) not counted."""
    lines = _lines("nm", "--extern-only", "--defined-only", "--format=posix", object_file)
    return {line.split()[0] for line in lines if line.split()[1] not in "WwVvu"}


def undefined_symbols(object_file):
    lines = _lines("nm", "--undefined-only", "--format=posix", object_file)
    return {line.split()[0] for line in lines}


def demangled(names):
    done = subprocess.run(["c++filt"], input="\n".join(names), check=True, capture_output=True,
                          text=True)
    return done.stdout.split("\n")


def dynamic_section(library):
    """Tag -> its values, as readelf prints them."""
    section = {}
    for line in _lines("readelf", "--dynamic", "--wide", library):
        words = line.split(None, 2)
        if len(words) == 3 and words[0].startswith("0x"):
            section.setdefault(words[1].strip("()"), []).append(words[2])
    return section


def object_of(source, objects):
    """The object file that was made of `source`, a file name."""
    found = [name for name in objects if name.endswith(f"/{source}.o")]
    if len(found) != 1:
        raise LookupError(f"{len(found)} objects of {source} among {objects}")
    return found[0]
