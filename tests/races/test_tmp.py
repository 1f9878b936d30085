import pytest, os, re, random, time
from concurrent.futures import ThreadPoolExecutor
import tests.races.test_storms as ts
from sqlalchemy import text
from models.database import sessions
pytestmark = pytest.mark.usefixtures("arena")
ALL = ["submit"]*3+["run"]*3+["cancel","grant","clawback","restore","spend","expire","lose","rescue","expire_waiting","wake","prove"]
SETS = {"all": ALL, "all2": ALL, "all3": ALL,
 "noaudit": [a for a in ALL if a!="prove"],
 "noclaw": [a for a in ALL if a not in("clawback","restore")],
 "nocancel": [a for a in ALL if a not in("cancel",)],
 "norescue": [a for a in ALL if a not in("lose","rescue","expire_waiting","wake")],
}
@pytest.mark.parametrize("name", SETS)
def test_min(new_user, name):
    w = ts.Weather([new_user(500)])
    names = SETS[name]
    bad=[]
    def blow(seed):
        dice = random.Random(seed)
        until = time.monotonic()+6
        while time.monotonic() < until:
            n = dice.choice(names)
            try:
                getattr(w,n)(dice, *w.people[0])
                w.did[n]+=1
            except (ts.Refusal, ts.LedgerError) as r: w.did[type(r).__name__]+=1
            except Exception as e:
                w.did[str(e)[:90].replace("\n"," ")]+=1
                m = re.search(r"Failing row contains \((\d+), .*", str(e))
                if m and not bad:
                    bad.append(1)
                    with sessions() as s:
                        print("BAD", m.group(0), re.search(r"'price': \d+", str(e)).group(0))
                        for r in s.execute(text("select id, xmin, reason, amount, balance_after, job_id, created_at, clawback_id from transfers where lot_id=:l order by id"), {"l": int(m.group(1))}): print("BAD", tuple(map(str,r)))
                        print("BAD now", s.execute(text("select clock_timestamp(), txid_current()")).one())
    with ThreadPoolExecutor(12) as t: list(t.map(blow, range(12)))
    print(name, dict(w.did))
