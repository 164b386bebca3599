"""Tables are taken out of pickles without running them; whatever else is in them is refused."""

import base64
import gzip
import os
import pickle
import random
import struct
import zlib

import numpy as np
import pytest
from pickles import Call, Name, array, frame, pickled

from vista_sim.errors import TraceError
from vista_sim.traces.importers import pickle_instructions, pickled_frames
from vista_sim.traces.importers.pickled_frames import frame_of, numbers_of, read_frame

# What pandas made of the table of `WANTED`, by zlib and base 85.
WRITTEN = {
    "pandas 1.5.3, protocol 3": (
        "c-nQ8*>ck`6o&1j3B~Md+4m)Eq3i_;g@&y)1Q459ijf^PHg%l*mOLdhWPpn{^sRUl9)U~lK$2ZLZ1#+QNj^H~J4Z"
        "hLSoAwIZctwJ+X<^qC$z<^8&uF+dIaOhCzw4HD$amm7;dYX;P)M2ELalLh*w)QrcIV`YdmWEGxxHYg@MYVy&HudU"
        ")o@~Y1|3@nTWZb+F_yO$7!q6%^bJVNQ5*=XxDNR=C@-mlGGO#%9)iVed@PZW*c)DteGB`_hAvNsMw~wi}P5Sn>Iw"
        "ZBa>O>6l4<KDXd=j+{YS%wH3SQm~!ns*469v$sh9458Dt}?=94dreR`(z(&va(oh1$+~QH_OJ|$xf?c%DJ~k5!*@"
        "Zr~5Nr)fK{?Po+X4x*onVK8DJYnoK^A{{1iMuH-2{6U<BwwRU-9?J_``<2zK&)3Jy+vPCf^p<KV&+14f_QSc)=za"
        "w4|U85*$)`n4q!*cSOM*B{=pA?syJ&e*`BKT$SLYgbV&C%b38hw=jiM6^%`CTC0aMT78^#ic)Jd!MVB~j;9>wnZN"
        "}FW!QuEKp!In7Zubcg3C)#qYCN@!PQ^KH<m+%Be<rZt`m$asK0AfleOAn=EW)GTFezU1a7MECA+K+>=wao75)yvg"
        "uvt!?8+aXbc4NPyy{WTEH`Ge?u1&gaQFXaxy8L6>RGEaWDnu~Vr~yqZVw5F%B?(yN5M&1#mAXxnuZNL(bekGSv++"
        "tIpTtfupQH+i)XsF@8CEksS)*9gy(uK#tT{6m!5VL%ZA0PdOD9Og4e;nVG|lRnMKqyM|OL7Qwd(xwR0IY5umoAJ#"
        "x|Rz>}Y7Hent3wkiEL2pF5kG(j`_Ey(sl;4IJ6);|%1dhWKEpt=@sr!b>qP$3eIsE3wQRu<C{ZF0mtw4EXKI*Qt}"
        "+-;;C*=JNRS0~KT`OH(V`V*0zahw"
    ),
    "pandas 2.2.3, protocol 4": (
        "c-oCq&ui2`6wc3e{eh(jbp`R@X}tu!c__4WMbKb`-b6~6B(s~)WD;g3Y!@u*!P>&y`uu<VQ~VQp^rmknSxj*eCou"
        "2L<jwoOH}kzu-nT2)GDB@Qgk?koY0YUc=cJ;bZoVLryfpqLJoyZ#FjZb$EjXx0!|;Mh${8s|P!UEJlnYRI4$3+`e"
        "$%b-_*CumN8++b#Gf;uw&IpGMS5J)IMIhNTJ5m5YF0sP@>gvs3&J^BVcwY2v}Qu`HkCTkH<6%jU~&_338D1`W_AK"
        "!;Si>wjh}l4`IhoCxoUJR%1NHV#d-JNRrUvnqUiN69A*kF3CYFGwJjUaQ{$v9kO4!kz9@@SrwE<U4Q-tvbo89x&h"
        "O^i8acnW#&rztL^<>4L$uwEXivL`__5d7pS`udcjjun|FN^<eN8QYj4*!3;6Hf09q`B>UT3kVSsdXz*#s0`p0ZO="
        "?u>AVlzY$$pdFqSjzjO?c=j5v7~%z+s-D<=nNDweJz9NremEN5vINa=a$S5GJ)t5<h(O8SiWyzTuk;>1QvOc)Yu|"
        "`BLqWsegh#m8HN|^vTVz=GiYzgikVF<WBOLW*pWy44B%vkx%-n|ZnC^|JJ<}KQUOm{vixalc#16F`kjcvk)g%d*s"
        "8{6)SvP>{K!>7Zo19cn*m5Xa>_$y~-I;MkB{9_;AuS>$_S`9`Q9Lin!npTIS=LJtXKjO$C6dO5ynu7jCc$s-dVNL"
    ),
    "pandas 3.1.1, protocol 5": (
        "c-n<i-)q!B5Kb=1*&kw&LM<r12`9*5!G}Hwl~xKGJfZJp+2r;vp~>dh-Eci<Q6E}cn75Aod;C-U6MXbdXE%5BuBE"
        "tvok=qD%{ROAeT{zXhn`!|9&y>{8e#c8H+*05Qs5Q7{D!C4fsmC$h48$I>86zu-CP=>BrkNg<dP4CqTGkOMU@_XY"
        "ThZm0~^y6R^*Ak$w63SwH)Q?Q6X4jlPDTCWL=IXUFPu1x-dCcicbiaDUnuE8&#*qMn*0Y;Q@iWkSmP6Gu-nN{Ei3"
        "MiG6y4bIjHt>YK^P_5!WX+jx1={13oC!CtTT@h>g6#XAO*%R}Pqa|8kcKSe>`U@56{;v$K4q>DTiu9_`jvEr89vs"
        "GB1XHULRd5W;g2C6EPdN62C<a*PaU%z%5`)6vspO|ezYp}rd?JcGrv1<AQe-Di<|AO9Ii-fXQo$FwV>U+M!O}1`u"
        "vuF3AW^bmLtvI-gx!Az(Sp#1hyYvpT*SBDTIJ^b(D0^)0D_dW@t*7q%gFUXW2f=Qw-31Ur7)SRL@u#*mwX>#O$NA"
        "hzW?TR5IEvfzg$!Ckn~QVb7so<(6Rriq3X@{YKG<(`yO{^k%y+u!la}yqx9zi8uVG#1eS~1b#{{MgH+dzwqS5w`Y"
        "1|5)h=P3COkyalEPM62C3{5GRt~rvin)^6NsorqaAjyjA=IWCA&n3@f*jvv3cHb}Nf#t{OL5@j4$G_*hC9xORGb?"
        "_qCQ1vvq8a!&V9m*q8e+~uScW=ZUl1_HD2gC>HY&`JCMZ"
    ),
}
WANTED = {
    "uuid": ["a", "b", "c"],
    "yaw": [0.5, 1.5, -2.0],
    "stationary": [True, False, True],
    "x": [1.0, np.nan, 3.0],
    "label": ["Car", None, "Bus"],
    "n": [1, 2, 3],
}


@pytest.mark.parametrize("version", WRITTEN)
def test_tables_of_several_versions_of_pandas_are_read(version):
    columns = frame_of(zlib.decompress(base64.b85decode(WRITTEN[version])))
    assert set(columns) == set(WANTED)
    for name, values in WANTED.items():
        assert repr(columns[name].tolist()) == repr(values)


def test_numbers_are_asked_for_by_name(tmp_path):
    path = tmp_path / "f.pkl"
    path.write_bytes(pickled(frame({"x": [1.0, np.inf], "d": [1, 0]})))
    columns = read_frame(path)
    assert numbers_of(path, columns, ["d"])["d"].tolist() == [1.0, 0.0]
    with pytest.raises(TraceError, match=r"f\.pkl: row 1: x is inf; it must be finite"):
        numbers_of(path, columns, ["x"])
    with pytest.raises(TraceError, match=r"f\.pkl: column 'yaw' is missing; it has d, x"):
        numbers_of(path, columns, ["yaw"])


class Gadget:
    """Pickles as a call."""

    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


def in_cell(call):
    """A table one of whose cells is a call."""
    about = frame({"x": [1.0]})
    text = put_cell(about, call)
    return pickled(text)


def put_cell(about, call):
    cells = array(np.array([[None]], dtype=object))
    cells.state = (*cells.state[:4], [call])
    about.state["_data"].state[3]["0.14.1"]["blocks"][0]["values"] = cells
    return about


CALLS = {
    "a command": ("posix system", ("touch MARK",)),
    "an expression": ("builtins eval", ("open('MARK', 'w')",)),
    "an expression of pandas": ("pandas eval", ("@open('MARK', 'w')",)),
    "another pickle": ("pandas read_pickle", ("MARK",)),
    "a pickle by NumPy": ("numpy load", ("MARK", None, True)),
    "an attribute": ("builtins getattr", (Name("numpy ndarray"), "tofile")),
    "a name with dots": ("numpy core.records.os.system", ("touch MARK",)),
    "an array of any size": ("numpy ndarray", ((10**12,),)),
    "zeros": ("numpy zeros", ((10**12,),)),
    "a ctypes library": ("ctypes CDLL", ("MARK",)),
    "a part of pickle": ("_pickle loads", (b"cposix\nsystem\n.",)),
    "an importer": ("builtins __import__", ("os",)),
    "a scalar": ("numpy.core.multiarray scalar", (Name("numpy dtype"), b"x")),
}


@pytest.mark.parametrize("what", CALLS)
@pytest.mark.parametrize("place", ["root", "cell"])
def test_calls_are_refused_and_not_run(what, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = Call(*CALLS[what])
    content = pickled(call) if place == "root" else in_cell(call)
    with pytest.raises(ValueError, match=r"not run|no table|not hold|not built"):
        frame_of(content)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_pickle_makes_of_a_gadget_is_refused(protocol, tmp_path):
    mark = tmp_path / "mark"
    for gadget in (
        Gadget(os.system, f"touch {mark}"),
        Gadget(exec, f"open({str(mark)!r}, 'w')"),
        Gadget(getattr, str, "format"),
        [Gadget(os.mkdir, str(mark))],
    ):
        with pytest.raises(ValueError, match=r"not run|none that a table needs"):
            frame_of(pickle.dumps(gadget, protocol))
    assert not mark.exists()


def deep(depth):
    """A tuple of twice the same tuple of twice ...: hashing it takes 2^depth steps."""
    return b"N" + b"q\x00h\x00\x86" * depth


BOMBS = {
    "memory for bytes": b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b".",
    "memory for text": b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b".",
    "memory for notes": b"\x80\x03Nr\xff\xff\xff\xff.",
    "time for a key": b"\x80\x03}" + deep(200) + b"Ns.",
    "a list in itself": b"\x80\x03]q\x00h\x00a.",
    "nothing": b"",
    "no end": b"\x80\x03N",
    "no stack": b"\x80\x03R.",
    "a pair of one": b"\x80\x03N\x86.",
    "a persistent thing": b"\x80\x03Pid\n.",
    "an extension": b"\x80\x03\x82\x01.",
    "text": b"uuid,yaw\n1,2\n",
}


@pytest.mark.parametrize("what", BOMBS)
def test_bombs_are_refused(what):
    with pytest.raises(ValueError):  # noqa: PT011  each for a reason of its own
        frame_of(BOMBS[what])


@pytest.mark.parametrize(
    ("shape", "said"),
    [((10**12,), "shape"), ((3,), "not as long"), ((2, 2, 2), "shape"), ((-1,), "shape")],
)
def test_an_array_is_as_long_as_it_says(shape, said):
    about = frame({"x": [1.0]})
    values = about.state["_data"].state[3]["0.14.1"]["blocks"][0]["values"]
    values.state = (1, shape, *values.state[2:])
    with pytest.raises(ValueError, match=said):
        frame_of(pickled(about))


def test_a_file_that_unpacks_to_more_than_is_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pickled_frames, "MAX_PICKLE", 10**5)
    path = tmp_path / "44.pkl.gz"
    path.write_bytes(gzip.compress(bytes(10**6)))
    with pytest.raises(TraceError, match=r"44\.pkl\.gz: holds more than 100000 bytes when unp"):
        read_frame(path)
    path.write_bytes(gzip.compress(pickled(frame({"x": [1.0]})))[:-20])
    with pytest.raises(TraceError, match=r"44\.pkl\.gz: cannot be unpacked \(.*\)"):
        read_frame(path)


def test_a_pickle_of_endless_instructions_is_refused(monkeypatch):
    monkeypatch.setattr(pickle_instructions, "MAX_INSTRUCTIONS", 1000)
    with pytest.raises(ValueError, match="more than 1000 instructions"):
        frame_of(b"\x80\x03" + b"N" * 2000 + b".")


def test_a_list_in_many_columns_takes_no_memory_for_each(monkeypatch):
    monkeypatch.setattr(pickled_frames, "MAX_INSTRUCTIONS", 1000)
    column = np.array(["a"] * 300, dtype=object)
    assert len(frame_of(pickled(frame(dict.fromkeys("xyz", column))))) == 3
    with pytest.raises(ValueError, match="columns hold more than it does"):
        frame_of(pickled(frame(dict.fromkeys("wxyz", column))))


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # of pickletools
def test_whatever_is_damaged_is_refused_or_read():
    whole = pickled(frame({"x": [1.0, 2.0], "label": np.array(["Car", None], dtype=object)}))
    for end in range(len(whole)):
        with pytest.raises(ValueError):  # noqa: PT011
            frame_of(whole[:end])
    rng = random.Random(5)
    for _ in range(2000):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            columns = frame_of(bytes(content))
        except ValueError:
            continue
        assert all(isinstance(values, np.ndarray) for values in columns.values())
