"""Shells in which a key is pressed."""

TAB_IN_BASH = """
line=$1; COMP_LINE=$line; COMP_POINT=${#line}; COMP_WORDS=(); COMPREPLY=()
_multidb_complete "${line%% *}" 2>/dev/null
[ ${#COMPREPLY[@]} = 1 ] && word=${line##* } && echo "${line% *} ${word%"${word##*[=@:]}"}${COMPREPLY[0]}"
"""
"""Prints what a TAB makes of the line in $1, where one word completes it."""
