dnl What configure needs is collected here, so that it can name everything
dnl that is missing in one line instead of one package a run.

dnl SHMALLOC_MISSING(DEBIAN-PACKAGE): remember that it is missing.
AC_DEFUN([SHMALLOC_MISSING],
	[shmalloc_missing="$shmalloc_missing $1"])

dnl SHMALLOC_NEED_PKG(PREFIX, PKG-CONFIG-SPEC, DEBIAN-PACKAGE)
dnl Set PREFIX_CFLAGS and PREFIX_LIBS.
AC_DEFUN([SHMALLOC_NEED_PKG],
	[PKG_CHECK_MODULES([$1], [$2], [], [SHMALLOC_MISSING([$3])])])

dnl SHMALLOC_NEED_PROG(VARIABLE, PROGRAM, DEBIAN-PACKAGE)
AC_DEFUN([SHMALLOC_NEED_PROG], [
	AC_PATH_PROG([$1], [$2])
	AS_VAR_IF([$1], [], [SHMALLOC_MISSING([$3])])
])

dnl SHMALLOC_NEED_COMPILER(VARIABLE, PROGRAMS, DEBIAN-PACKAGES)
dnl Looks only: AC_PROG_CC would end configure at the first thing missing.
AC_DEFUN([SHMALLOC_NEED_COMPILER], [
	AC_CHECK_PROGS([shmalloc_found_$1], [$$1 $2])
	AS_VAR_IF([shmalloc_found_$1], [], [SHMALLOC_MISSING([$3])])
])

dnl SHMALLOC_NEED_HEADER(HEADER, DEBIAN-PACKAGE)
dnl For a package of headers alone, without a pkg-config file; asks the
dnl preprocessor when there is one, else there is nothing to ask.
AC_DEFUN([SHMALLOC_NEED_HEADER], [
	AC_MSG_CHECKING([for $1])
	AS_IF([echo "#include <$1>" | $shmalloc_found_CC $CPPFLAGS -E - \
	    >/dev/null 2>&1],
		[AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		SHMALLOC_MISSING([$2])])
])

dnl SHMALLOC_END_NEEDS: stop here if anything was missing.
AC_DEFUN([SHMALLOC_END_NEEDS], [
	AS_IF([test -n "$shmalloc_missing"],
		[AC_MSG_ERROR([missing packages (Debian names):$shmalloc_missing])])
])

dnl SHMALLOC_PEER(NAME, DEFINE, WHAT, TEST)
dnl A heap that bench/ compares with.  TEST is shell commands; it is there when
dnl they succeed, and nothing needs it.
AC_DEFUN([SHMALLOC_PEER], [
	AC_MSG_CHECKING([for $3])
	AS_IF([$4],
		[AC_MSG_RESULT([yes])
		shmalloc_peer_$1=yes
		AC_DEFINE([$2], [1], [Define if there is $3, for bench/.])],
		[AC_MSG_RESULT([no])
		shmalloc_peer_$1=no])
])
